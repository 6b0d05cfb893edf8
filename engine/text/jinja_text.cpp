#include "engine/text/jinja_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "engine/text/utf8.h"

namespace dejavu::jinja {
namespace {

std::string hex(char32_t value, int digits) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (int shift = (digits - 1) * 4; shift >= 0; shift -= 4) {
    out.push_back(kDigits[(value >> static_cast<unsigned>(shift)) & 15]);
  }
  return out;
}

bool is_printable(char32_t c) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    case UTF8PROC_CATEGORY_ZS:
      return c == ' ';
    default:
      return true;
  }
}

std::string escape_for_repr(char32_t c) {
  switch (c) {
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      break;
  }
  if (c < 0x100) return "\\x" + hex(c, 2);
  return c < 0x10000 ? "\\u" + hex(c, 4) : "\\U" + hex(c, 8);
}

std::string repr_text(const std::string& text) {
  const bool has_single = text.find('\'') != std::string::npos;
  const char quote = has_single && text.find('"') == std::string::npos ? '"' : '\'';
  std::string out(1, quote);
  for (std::size_t i = 0; i < text.size();) {
    const CodePoint c = decode_utf8(text, i);
    if (c.value == static_cast<unsigned char>(quote)) {
      out += '\\';
      out += quote;
    } else if (c.value == '\\' || (c.valid() && !is_printable(c.value))) {
      out += escape_for_repr(c.value);
    } else {
      out.append(text, i, c.bytes);
    }
    i += c.bytes;
  }
  return out + quote;
}

std::string join_reprs(const std::vector<Value>& items) {
  std::string out;
  for (const Value& v : items) out += (out.empty() ? "" : ", ") + repr(v);
  return out;
}

std::string list_text(const List& list) {
  switch (list.kind) {
    case ListKind::kTuple:
      return "(" + join_reprs(list.items) + (list.items.size() == 1 ? ",)" : ")");
    case ListKind::kView:
      return "dict_view([" + join_reprs(list.items) + "])";
    case ListKind::kGenerator:
      return "<generator object>";
    case ListKind::kList:
      break;
  }
  return "[" + join_reprs(list.items) + "]";
}

std::string dict_text(const Dict& dict) {
  std::string out;
  for (const auto& [key, value] : dict.entries()) {
    out += (out.empty() ? "" : ", ") + repr(key) + ": " + repr(value);
  }
  return "{" + out + "}";
}

class JsonWriter {
 public:
  explicit JsonWriter(const JsonStyle& style) : style_(style) {}

  void write(const Value& value) {
    if (const std::string* s = value.text()) {
      write_string(*s);
    } else if (value.is_none()) {
      out_ += "null";
    } else if (value.is_bool()) {
      out_ += value.truthy() ? "true" : "false";
    } else if (value.is_integer()) {
      out_ += to_text(value);
    } else if (value.is_float()) {
      out_ += number(*value.number());
    } else if (const Dict* d = value.dict()) {
      write_dict(*d);
    } else if (const List* l = value.list(); l != nullptr && l->kind <= ListKind::kTuple) {
      write_list(*l);
    } else {
      throw TemplateError("an object of type " + value.type_name() +
                          " cannot be written as JSON (tojson)");
    }
  }

  std::string take() { return std::move(out_); }

 private:
  static std::string number(double v) {
    if (std::isnan(v)) return "NaN";
    if (std::isinf(v)) return v > 0 ? "Infinity" : "-Infinity";
    return float_text(v);
  }

  void line() {
    if (!style_.lines) return;
    out_ += '\n';
    for (int i = 0; i < level_; ++i) out_ += style_.indent;
  }

  // `write_item(i)` for each item, between the brackets.
  template <class F>
  void write_items(std::size_t count, std::string_view brackets, F write_item) {
    out_ += brackets[0];
    if (count > 0) {
      ++level_;
      for (std::size_t i = 0; i < count; ++i) {
        if (i > 0) out_ += style_.item_separator;
        line();
        write_item(i);
      }
      --level_;
      line();
    }
    out_ += brackets[1];
  }

  void write_list(const List& list) {
    write_items(list.items.size(), "[]", [&](std::size_t i) { write(list.items[i]); });
  }

  void write_dict(const Dict& dict) {
    std::vector<Dict::Entry> entries = dict.entries();
    if (style_.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(),
                       [](const auto& a, const auto& b) { return less(a.first, b.first); });
    }
    write_items(entries.size(), "{}", [&](std::size_t i) {
      write_key(entries[i].first);
      out_ += style_.key_separator;
      write(entries[i].second);
    });
  }

  void write_key(const Value& key) {
    if (key.text() != nullptr) return write(key);
    if (key.list() != nullptr) throw TemplateError("a tuple cannot be a key in JSON (tojson)");
    out_ += '"';
    write(key);
    out_ += '"';
  }

  void write_string(const std::string& text) {
    out_ += '"';
    for (std::size_t i = 0; i < text.size();) {
      const CodePoint c = decode_utf8(text, i);
      if (!write_escape(c.value)) out_.append(text, i, c.bytes);
      i += c.bytes;
    }
    out_ += '"';
  }

  bool write_escape(char32_t c) {
    constexpr std::string_view kEscaped = "\"\\\n\r\t\b\f";
    constexpr std::string_view kLetters = "\"\\nrtbf";
    if (c < 0x80) {
      const std::size_t at = kEscaped.find(static_cast<char>(c));
      if (at != std::string_view::npos) {
        out_ += '\\';
        out_ += kLetters[at];
        return true;
      }
    }
    const bool ascii_only = style_.ensure_ascii && c > 0x7e && c <= 0x10ffff;
    if (c >= 0x20 && !ascii_only) return false;
    if (c < 0x10000) {
      out_ += "\\u" + hex(c, 4);
    } else {
      out_ += "\\u" + hex(0xd800 + ((c - 0x10000) >> 10), 4);
      out_ += "\\u" + hex(0xdc00 + ((c - 0x10000) & 0x3ff), 4);
    }
    return true;
  }

  const JsonStyle& style_;
  std::string out_;
  int level_ = 0;
};

}  // namespace

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  // Shortest digits that read back the same; an exponent outside 1e-4 to 1e16.
  const double magnitude = std::fabs(value);
  const bool scientific = magnitude != 0 && (magnitude < 1e-4 || magnitude >= 1e16);
  std::array<char, 64> buffer{};
  const auto end =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                    scientific ? std::chars_format::scientific : std::chars_format::fixed)
          .ptr;
  std::string text(buffer.data(), end);
  return scientific || text.find('.') != std::string::npos ? text : text + ".0";
}

std::string to_text(const Value& value) {
  if (const std::string* s = value.text()) return *s;
  if (value.is_undefined()) return {};
  if (value.is_none()) return "None";
  if (value.is_bool()) return value.truthy() ? "True" : "False";
  if (value.is_float()) return float_text(*value.number());
  if (const auto i = value.integer()) return std::to_string(*i);
  if (const List* l = value.list()) return list_text(*l);
  if (const Dict* d = value.dict()) return dict_text(*d);
  return value.object()->describe();
}

std::string repr(const Value& value) {
  if (value.is_undefined()) return "Undefined";
  const std::string* s = value.text();
  return s == nullptr ? to_text(value) : repr_text(*s);
}

std::string to_json(const Value& value, const JsonStyle& style) {
  JsonWriter writer(style);
  writer.write(value);
  return writer.take();
}

}  // namespace dejavu::jinja
