// "Did you mean": the nearest of some names.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace dejavu {

// The name with the smallest edit distance to `wrong`, or "" when none is near.
std::string nearest_name(std::string_view wrong, std::span<const std::string> names);
// "; did you mean NAME?" or "".
std::string suggestion(std::string_view wrong, std::span<const std::string> names);

}  // namespace dejavu
