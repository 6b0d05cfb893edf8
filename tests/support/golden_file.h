// Reads the safetensors files that tools/ writes beside golden models.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "engine/model/mapped_file.h"
#include "engine/model/safetensors.h"

namespace dejavu {

class GoldenFile {
 public:
  // Throws std::runtime_error: a test has nothing to do without its golden.
  explicit GoldenFile(const std::filesystem::path& path);

  std::vector<std::int32_t> ints(std::string_view tensor) const;
  std::vector<float> floats(std::string_view tensor) const;

 private:
  template <class T>
  std::vector<T> values(std::string_view tensor, std::string_view dtype) const;

  MappedFile file_;
  SafetensorsHeader header_;
};

}  // namespace dejavu
