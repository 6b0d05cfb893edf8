// A whole file as text.
#pragma once

#include <filesystem>
#include <string>

#include "engine/core/result.h"

namespace dejavu {

// Pipes and devices too; a directory is an error. The error says why, after the path.
Result<std::string> read_file(const std::filesystem::path& path);

}  // namespace dejavu
