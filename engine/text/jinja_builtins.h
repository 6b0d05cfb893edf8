// Filters and tests by name; the parser looks them up, so that unknown ones are found at compile
// time.
#pragma once

#include <string_view>

#include "engine/text/jinja_value.h"

namespace dejavu::jinja {

using Filter = Value (*)(Interpreter& interpreter, const Value& input, const Args& args);
using Test = bool (*)(const Value& input, const Args& args);

// Null when there is none of that name.
Filter find_filter(std::string_view name);
Test find_test(std::string_view name);

// The parts find_filter() looks in.
Filter find_text_filter(std::string_view name);
Filter find_list_filter(std::string_view name);

}  // namespace dejavu::jinja
