// --json FILE: a command's result for programs.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "engine/core/result.h"

namespace dejavu {

// Does nothing for an empty path.
Status write_json_file(const std::string& path, const nlohmann::ordered_json& value);

}  // namespace dejavu
