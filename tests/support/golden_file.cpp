#include "tests/support/golden_file.h"

#include <cstring>
#include <stdexcept>
#include <string>

namespace dejavu {
namespace {

template <class T>
T expect(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}

}  // namespace

GoldenFile::GoldenFile(const std::filesystem::path& path)
    : file_(expect(MappedFile::open(path))),
      header_(expect(parse_safetensors(file_.bytes(), path.string()))) {}

template <class T>
std::vector<T> GoldenFile::values(std::string_view tensor, std::string_view dtype) const {
  const auto it = header_.find(tensor);
  if (it == header_.end() || it->second.dtype != dtype)
    throw std::runtime_error("golden file lacks " + std::string(tensor));
  std::vector<T> values(it->second.data.size() / sizeof(T));
  std::memcpy(values.data(), it->second.data.data(), it->second.data.size());
  return values;
}

std::vector<std::int32_t> GoldenFile::ints(std::string_view tensor) const {
  return values<std::int32_t>(tensor, "I32");
}

std::vector<float> GoldenFile::floats(std::string_view tensor) const {
  return values<float>(tensor, "F32");
}

}  // namespace dejavu
