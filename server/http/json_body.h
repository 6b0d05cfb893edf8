// Request bodies: JSON with a bounded depth, in one pass and in linear time whatever the input.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "engine/core/result.h"

namespace dejavu {

inline constexpr int kMaxJsonDepth = 64;

// One JSON object. INVALID_ARGUMENT for anything else: bad syntax, invalid UTF-8, a number out of
// range, more than kMaxJsonDepth levels. Of duplicate keys the last one holds; order is kept.
Result<nlohmann::ordered_json> parse_json_object(std::string_view body);

}  // namespace dejavu
