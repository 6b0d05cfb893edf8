// Filters that make strings and numbers.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <map>

#include "engine/text/jinja_ast.h"
#include "engine/text/jinja_builtins.h"
#include "engine/text/jinja_interpreter.h"
#include "engine/text/jinja_strings.h"
#include "engine/text/jinja_text.h"

namespace dejavu::jinja {
namespace {

template <std::string (*change)(std::string_view)>
Value change_text(Interpreter& in, const Value& v, const Args& args) {
  bind(args, "the filter", {});
  return in.text(change(to_text(v)));
}

std::string same(std::string_view text) { return std::string(text); }

std::int64_t whole_or(const std::optional<Value>& v, std::int64_t otherwise) {
  if (!v || v->is_none()) return otherwise;
  const auto i = v->integer();
  if (!i) throw TemplateError("a whole number is needed, not " + v->type_name());
  return *i;
}

Value trim(Interpreter& in, const Value& v, const Args& args) {
  const auto a = bind(args, "trim", {"chars"});
  const bool characters = a[0] && !a[0]->is_none();
  return in.text(strip(to_text(v), characters ? to_text(*a[0]) : "", Side::kBoth));
}

Value replace_filter(Interpreter& in, const Value& v, const Args& args) {
  const auto a = bind(args, "replace", {"old", "new", "count"});
  if (!a[0] || !a[1]) throw TemplateError("replace() needs what to replace, and with what");
  return in.text(replace(to_text(v), to_text(*a[0]), to_text(*a[1]), whole_or(a[2], -1)));
}

Value indent(Interpreter& in, const Value& v, const Args& args) {
  const auto a = bind(args, "indent", {"width", "first", "blank"});
  const std::string margin =
      a[0] && a[0]->text() != nullptr
          ? *a[0]->text()
          : std::string(static_cast<std::size_t>(std::max<std::int64_t>(
                            0, std::min<std::int64_t>(whole_or(a[0], 4), 1024))),
                        ' ');
  const bool first = a[1] && a[1]->truthy();
  const bool blank = a[2] && a[2]->truthy();
  const std::vector<std::string> lines = split_lines(to_text(v) + "\n");
  std::string out;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out += '\n';
    if (i == 0 ? first : blank || !lines[i].empty()) out += margin;
    out += lines[i];
  }
  return in.text(std::move(out));
}

Value to_json_filter(Interpreter& in, const Value& v, const Args& args) {
  const auto a = bind(args, "tojson", {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = a[0] && a[0]->truthy();
  if (a[1] && !a[1]->is_none()) {
    style.lines = true;
    style.item_separator = ",";
    const std::string* text = a[1]->text();
    const std::int64_t width = text != nullptr ? 0 : whole_or(a[1], 0);
    style.indent = text != nullptr ? *text
                                   : std::string(static_cast<std::size_t>(std::max<std::int64_t>(
                                                     0, std::min<std::int64_t>(width, 64))),
                                                 ' ');
  }
  if (a[2] && !a[2]->is_none()) {
    const std::vector<Value> separators = iterate(*a[2]);
    if (separators.size() != 2) throw TemplateError("tojson's separators are a pair of strings");
    style.item_separator = to_text(separators[0]);
    style.key_separator = to_text(separators[1]);
  }
  style.sort_keys = a[3] && a[3]->truthy();
  return in.text(to_json(v, style));
}

Value default_filter(Interpreter&, const Value& v, const Args& args) {
  const auto a = bind(args, "default", {"default_value", "boolean"});
  const bool replaces = v.is_undefined() || (a[1] && a[1]->truthy() && !v.truthy());
  if (!replaces) return v;
  return a[0] ? *a[0] : Value(std::string());
}

std::optional<double> parse_float(const std::string& text) {
  const std::string digits = strip(text, {}, Side::kBoth);
  const bool plus = digits.starts_with('+');
  double value = 0;
  const char* end = digits.data() + digits.size();
  const auto result = std::from_chars(digits.data() + (plus ? 1 : 0), end, value);
  if (result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return value;
}

std::optional<std::int64_t> parse_integer(const std::string& text, int base) {
  std::string digits = lower(strip(text, {}, Side::kBoth));
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.erase(0, 1);
  if ((base == 16 && digits.starts_with("0x")) || (base == 8 && digits.starts_with("0o")) ||
      (base == 2 && digits.starts_with("0b"))) {
    digits.erase(0, 2);
  }
  std::int64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto result = std::from_chars(digits.data(), end, value, base);
  if (digits.empty() || digits[0] == '-' || result.ec != std::errc() || result.ptr != end) {
    return std::nullopt;
  }
  return negative ? -value : value;
}

Value float_filter(Interpreter&, const Value& v, const Args& args) {
  const auto a = bind(args, "float", {"default"});
  v.require_defined();
  if (const auto number = v.number()) return *number;
  if (const std::string* s = v.text()) {
    if (const auto number = parse_float(*s)) return *number;
  }
  return a[0] ? *a[0] : Value(0.0);
}

Value int_filter(Interpreter&, const Value& v, const Args& args) {
  const auto a = bind(args, "int", {"default", "base"});
  v.require_defined();
  if (const auto i = v.integer()) return *i;
  std::optional<double> number = v.number();
  if (const std::string* s = v.text()) {
    const std::int64_t base = whole_or(a[1], 10);
    if (base < 2 || base > 36) throw TemplateError("int() takes a base from 2 to 36");
    if (const auto i = parse_integer(*s, static_cast<int>(base))) return *i;
    number = parse_float(*s);
  }
  if (number && std::fabs(*number) < 9.2e18) return static_cast<std::int64_t>(*number);
  return a[0] ? *a[0] : Value(std::int64_t{0});
}

Value abs_filter(Interpreter&, const Value& v, const Args& args) {
  bind(args, "abs", {});
  v.require_defined();
  if (const auto i = v.integer()) return *i < 0 ? apply(UnaryOp::kNegate, v) : Value(*i);
  if (const auto number = v.number()) return std::fabs(*number);
  throw TemplateError("abs needs a number, not " + v.type_name());
}

// Python's round(): by the exact decimal value, ties to even.
double round_common(double value, int digits) {
  if (digits < 0) {
    const double unit = std::pow(10.0, -digits);
    return std::nearbyint(value / unit) * unit;
  }
  std::string text(static_cast<std::size_t>(digits) + 400, '\0');
  std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  return std::strtod(text.c_str(), nullptr);
}

Value round_filter(Interpreter&, const Value& v, const Args& args) {
  const auto a = bind(args, "round", {"precision", "method"});
  const auto number = v.number();
  v.require_defined();
  if (!number) throw TemplateError("round needs a number, not " + v.type_name());
  const int digits = static_cast<int>(
      std::max<std::int64_t>(-300, std::min<std::int64_t>(whole_or(a[0], 0), 300)));
  const std::string method = a[1] ? to_text(*a[1]) : "common";
  if (method == "common") {
    const bool stays_integer = v.is_integer();
    const double rounded = round_common(*number, digits);
    return stays_integer ? Value(static_cast<std::int64_t>(rounded)) : Value(rounded);
  }
  if (method != "ceil" && method != "floor") {
    throw TemplateError("round's method is common, ceil or floor");
  }
  const double unit = std::pow(10.0, digits);
  return (method == "ceil" ? std::ceil(*number * unit) : std::floor(*number * unit)) / unit;
}

}  // namespace

Filter find_text_filter(std::string_view name) {
  static const std::map<std::string_view, Filter> filters = {
      {"trim", trim},
      {"upper", change_text<upper>},
      {"lower", change_text<lower>},
      {"title", change_text<title_words>},
      {"capitalize", change_text<capitalize>},
      {"string", change_text<same>},
      {"safe", change_text<same>},  // nothing escapes what is printed
      {"escape", change_text<escape_html>},
      {"e", change_text<escape_html>},
      {"replace", replace_filter},
      {"indent", indent},
      {"tojson", to_json_filter},
      {"default", default_filter},
      {"d", default_filter},
      {"int", int_filter},
      {"float", float_filter},
      {"abs", abs_filter},
      {"round", round_filter},
  };
  const auto it = filters.find(name);
  return it == filters.end() ? nullptr : it->second;
}

}  // namespace dejavu::jinja
