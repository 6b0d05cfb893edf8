// UTF-8 helpers of the text that leaves the server.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace dejavu {

// Malformed sequences become U+FFFD, one for each maximal subpart (Unicode 15, section 3.9), as
// Python's errors="replace" does.
std::string to_valid_utf8(std::string_view bytes);

// Code points of well-formed UTF-8.
std::size_t count_code_points(std::string_view text);

}  // namespace dejavu
