// A whole file, mapped read-only.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

#include "engine/core/result.h"

namespace dejavu {

class MappedFile {
 public:
  // Errors name the file. An empty file maps to an empty span.
  static Result<MappedFile> open(const std::filesystem::path& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }
  std::string_view text() const {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::span<const std::byte> bytes_;
};

// Hints about a part of a mapped file: it is about to be read whole; it will not be read again, so
// its pages need not stay in memory. Both are free to do nothing.
void expect_read(std::span<const std::byte> part);
void release_pages(std::span<const std::byte> part);

}  // namespace dejavu
