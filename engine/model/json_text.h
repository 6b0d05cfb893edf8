// JSON that may be hostile: bounded in size and depth, faults are values.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "engine/core/result.h"

namespace dejavu {

// Errors begin with `name`. Accepts objects of at most 16 levels.
Result<nlohmann::json> parse_json_object(std::string_view text, const std::string& name);

// A name from a file, quoted and made safe to print.
std::string printable(std::string_view name);

}  // namespace dejavu
