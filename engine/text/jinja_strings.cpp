#include "engine/text/jinja_strings.h"

#include <utf8proc.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "engine/text/utf8.h"

namespace dejavu::jinja {
namespace {

bool is_cased(char32_t c) {
  const auto k = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LL || k == UTF8PROC_CATEGORY_LT;
}

void append_upper(std::string& out, char32_t c) {
  if (c == 0xdf) {  // the common letter whose capital has two
    out += "SS";
  } else {
    append_utf8(out, static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))));
  }
}

void append_lower(std::string& out, char32_t c) {
  if (c == 0x130) {
    out += "i\xcc\x87";
  } else {
    append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
  }
}

// Calls f(character, its bytes) for each character.
template <class F>
void for_each_character(std::string_view text, F f) {
  for (std::size_t i = 0; i < text.size();) {
    const CodePoint c = decode_utf8(text, i);
    f(c.value, text.substr(i, c.bytes));
    i += c.bytes;
  }
}

// A capital sigma at the end of a word has a lower case of its own.
bool ends_word(std::string_view text, std::size_t behind) {
  return behind >= text.size() || !is_cased(decode_utf8(text, behind).value);
}

bool opens_word(char32_t c) {
  return is_python_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
}

void append_escape(std::string& out, std::string_view digits, std::string_view whole) {
  std::uint32_t value = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (result.ec != std::errc() || result.ptr != digits.data() + digits.size()) {
    out.append(whole);
  } else {
    const bool is_character = value <= 0x10ffff && (value < 0xd800 || value > 0xdfff);
    append_utf8(out, is_character ? value : 0xfffd);
  }
}

}  // namespace

bool is_python_space(char32_t c) { return is_space(c) || (c >= 0x1c && c <= 0x1f); }

std::string strip(std::string_view text, std::string_view characters, Side side) {
  const auto drops = [&](char32_t c, std::string_view bytes) {
    return characters.empty() ? is_python_space(c)
                              : characters.find(bytes) != std::string_view::npos;
  };
  std::size_t begin = 0;
  std::size_t end = 0;
  bool leading = true;
  std::size_t at = 0;
  for_each_character(text, [&](char32_t c, std::string_view bytes) {
    const bool drop = drops(c, bytes);
    if (leading && drop) begin = at + bytes.size();
    leading = leading && drop;
    at += bytes.size();
    if (!drop) end = at;
  });
  if (side == Side::kLeft) end = text.size();
  if (side == Side::kRight) begin = 0;
  return std::string(text.substr(begin, std::max(begin, end) - begin));
}

std::string upper(std::string_view text) {
  std::string out;
  for_each_character(text, [&](char32_t c, std::string_view bytes) {
    if (c == CodePoint::kInvalid) {
      out.append(bytes);
    } else {
      append_upper(out, c);
    }
  });
  return out;
}

std::string lower(std::string_view text) {
  std::string out;
  std::size_t behind = 0;
  bool after_letter = false;
  for_each_character(text, [&](char32_t c, std::string_view bytes) {
    behind += bytes.size();
    if (c == CodePoint::kInvalid) {
      out.append(bytes);
    } else if (c == 0x3a3 && after_letter && ends_word(text, behind)) {
      append_utf8(out, 0x3c2);
    } else {
      append_lower(out, c);
    }
    after_letter = is_cased(c);
  });
  return out;
}

std::string capitalize(std::string_view text) {
  if (text.empty()) return {};
  const std::size_t first = decode_utf8(text, 0).bytes;
  return upper(text.substr(0, first)) + lower(text.substr(first));
}

std::string title(std::string_view text) {
  std::string out;
  bool in_word = false;
  for_each_character(text, [&](char32_t c, std::string_view bytes) {
    out += in_word ? lower(bytes) : upper(bytes);
    in_word = is_cased(c);
  });
  return out;
}

std::string title_words(std::string_view text) {
  std::string out;
  bool in_word = false;
  for_each_character(text, [&](char32_t c, std::string_view bytes) {
    const bool opens = opens_word(c);
    out += in_word && !opens ? lower(bytes) : upper(bytes);
    in_word = !opens;
  });
  return out;
}

std::vector<std::string> split(std::string_view text, std::string_view separator,
                               std::int64_t limit) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (limit != 0) {
    const std::size_t at = text.find(separator, begin);
    if (at == std::string_view::npos) break;
    parts.emplace_back(text.substr(begin, at - begin));
    begin = at + separator.size();
    --limit;
  }
  parts.emplace_back(text.substr(begin));
  return parts;
}

std::vector<std::string> split_right(std::string_view text, std::string_view separator,
                                     std::int64_t limit) {
  std::vector<std::string> parts;
  while (limit != 0) {
    const std::size_t at = text.rfind(separator);
    if (at == std::string_view::npos) break;
    parts.emplace_back(text.substr(at + separator.size()));
    text = text.substr(0, at);
    --limit;
  }
  parts.emplace_back(text);
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string> split_spaces(std::string_view text, std::int64_t limit) {
  std::vector<std::string> parts;
  std::size_t at = 0;
  const auto skip = [&](bool spaces) {
    while (at < text.size()) {
      const CodePoint c = decode_utf8(text, at);
      if (is_python_space(c.value) != spaces) break;
      at += c.bytes;
    }
  };
  skip(true);
  while (at < text.size() && limit-- != 0) {
    const std::size_t begin = at;
    skip(false);
    parts.emplace_back(text.substr(begin, at - begin));
    skip(true);
  }
  if (at < text.size()) parts.emplace_back(text.substr(at));
  return parts;
}

std::vector<std::string> split_lines(std::string_view text) {
  std::vector<std::string> lines;
  std::string line;
  bool after_return = false;
  bool open = false;
  for_each_character(text, [&](char32_t c, std::string_view bytes) {
    if (after_return && c == '\n') {
      after_return = false;
      return;
    }
    after_return = c == '\r';
    if ((c >= 0xa && c <= 0xd) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 ||
        c == 0x2029) {
      lines.push_back(std::exchange(line, {}));
      open = false;
    } else {
      line.append(bytes);
      open = true;
    }
  });
  if (open) lines.push_back(line);
  return lines;
}

std::string replace(std::string_view text, std::string_view what, std::string_view with,
                    std::int64_t limit) {
  std::string out;
  if (what.empty()) {  // between all characters and at both ends
    const auto insert = [&] {
      if (limit != 0) out.append(with);
      if (limit > 0) --limit;
    };
    for_each_character(text, [&](char32_t, std::string_view bytes) {
      insert();
      out.append(bytes);
    });
    insert();
    return out;
  }
  const std::vector<std::string> parts = split(text, what, limit);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) out.append(with);
    out.append(parts[i]);
  }
  return out;
}

std::string unescape(std::string_view literal) {
  constexpr std::string_view kLetters = "\\'\"abfnrtv";
  constexpr std::string_view kValues = "\\'\"\a\b\f\n\r\t\v";
  std::string out;
  for (std::size_t i = 0; i < literal.size(); ++i) {
    if (literal[i] != '\\' || i + 1 >= literal.size()) {
      out.push_back(literal[i]);
      continue;
    }
    const char c = literal[++i];
    const std::size_t known = kLetters.find(c);
    if (known != std::string_view::npos) {
      out.push_back(kValues[known]);
    } else if (c == 'x' || c == 'u' || c == 'U') {
      const std::size_t count = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      const std::string_view digits = literal.substr(i + 1, count);
      append_escape(out, digits, literal.substr(i - 1, digits.size() + 2));
      i += digits.size();
    } else if (c >= '0' && c <= '7') {
      char32_t value = 0;
      std::size_t n = 0;
      for (; n < 3 && i + n < literal.size() && literal[i + n] >= '0' && literal[i + n] <= '7';
           ++n) {
        value = value * 8 + static_cast<char32_t>(literal[i + n] - '0');
      }
      append_utf8(out, value);
      i += n - 1;
    } else if (c != '\n') {  // an escaped line end is nothing, anything else stays as it is
      out.push_back('\\');
      out.push_back(c);
    }
  }
  return out;
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out.push_back(c);
    }
  }
  return out;
}

}  // namespace dejavu::jinja
