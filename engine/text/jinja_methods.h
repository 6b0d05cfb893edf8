// Methods of strings and dicts. Those that would change a list or dict do not exist: templates run
// in jinja2's immutable sandbox.
#pragma once

#include <string_view>

#include "engine/text/jinja_value.h"

namespace dejavu::jinja {

bool is_method_name(std::string_view name);  // of any kind of value
bool has_method(const Value& value, std::string_view name);
Value call_method(Interpreter& interpreter, const Value& value, std::string_view name,
                  const Args& args);
// The method as a value; it has_method().
Value make_bound_method(const Value& value, std::string_view name);

}  // namespace dejavu::jinja
