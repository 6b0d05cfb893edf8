// How template values are written: Python's str() and repr(), and json.dumps().
#pragma once

#include <string>
#include <string_view>

#include "engine/text/jinja_value.h"

namespace dejavu::jinja {

std::string to_text(const Value& value);  // str()
std::string repr(const Value& value);
std::string float_text(double value);

// transformers' tojson: no HTML escapes; Python's defaults for separators.
struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::string indent;  // of one level; used when `lines`
  bool lines = false;
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};
std::string to_json(const Value& value, const JsonStyle& style);

}  // namespace dejavu::jinja
