// Writes a safetensors file (engine/model/safetensors.h reads it).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "engine/core/result.h"

namespace dejavu {

struct TensorToWrite {
  std::string dtype;  // "F32", "I8", …
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data;
};
using TensorsToWrite = std::map<std::string, TensorToWrite>;

// The whole file in memory.
std::string safetensors_bytes(const TensorsToWrite& tensors);
// Writes beside `path` and renames, so that the file is whole or the old one. Errors name it.
Status write_whole_file(const std::filesystem::path& path, const std::string& bytes);

}  // namespace dejavu
