// Safetensors files made by tests, valid and not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace dejavu {

struct StoredTensor {
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> data;
};
using StoredTensors = std::map<std::string, StoredTensor>;

// A whole file: header text as given, then `data_bytes` bytes of data counting up.
std::vector<std::byte> raw_safetensors(std::string_view header, std::size_t data_bytes);
// A valid file. `padding` spaces end the header: without care the data lies at an odd address.
std::vector<std::byte> make_safetensors(const StoredTensors& tensors, std::size_t padding = 0);

// Throws std::runtime_error on failure.
StoredTensors read_tensors(const std::filesystem::path& path);
void write_bytes(const std::filesystem::path& path, const std::vector<std::byte>& bytes);
void write_text(const std::filesystem::path& path, std::string_view text);

// A directory of its own below the system's temporary one, removed at the end.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  // Holding a copy of the files of `source`.
  explicit TemporaryDirectory(const std::filesystem::path& source);
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory();

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace dejavu
