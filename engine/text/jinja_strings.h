// Python's string operations, by code points.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dejavu::jinja {

bool is_python_space(char32_t c);  // str.isspace()

enum class Side { kLeft, kRight, kBoth };
// Drops white space, or the characters of `characters` when it is not empty.
std::string strip(std::string_view text, std::string_view characters, Side side);

std::string upper(std::string_view text);
std::string lower(std::string_view text);
std::string capitalize(std::string_view text);
std::string title(std::string_view text);        // str.title()
std::string title_words(std::string_view text);  // the filter: after white space, - ( { [ <

// At most `limit` cuts (all when negative), from the left or the right.
std::vector<std::string> split(std::string_view text, std::string_view separator,
                               std::int64_t limit);
std::vector<std::string> split_right(std::string_view text, std::string_view separator,
                                     std::int64_t limit);
std::vector<std::string> split_spaces(std::string_view text, std::int64_t limit);
std::vector<std::string> split_lines(std::string_view text);
std::string replace(std::string_view text, std::string_view what, std::string_view with,
                    std::int64_t limit);

// Resolves the escapes of a string literal.
std::string unescape(std::string_view literal);
std::string escape_html(std::string_view text);

}  // namespace dejavu::jinja
