#include "tests/support/tensor_file.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "engine/model/mapped_file.h"
#include "engine/model/safetensors.h"

namespace dejavu {

std::vector<std::byte> raw_safetensors(std::string_view header, std::size_t data_bytes) {
  std::vector<std::byte> file;
  for (std::size_t i = 0; i < 8; ++i)
    file.push_back(static_cast<std::byte>(header.size() >> (8 * i) & 0xff));
  for (const char c : header) file.push_back(static_cast<std::byte>(c));
  for (std::size_t i = 0; i < data_bytes; ++i) file.push_back(static_cast<std::byte>(i & 0xff));
  return file;
}

std::vector<std::byte> make_safetensors(const StoredTensors& tensors, std::size_t padding) {
  nlohmann::json header = nlohmann::json::object();
  std::size_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    header[name] = {{"dtype", tensor.dtype},
                    {"shape", tensor.shape},
                    {"data_offsets", {offset, offset + tensor.data.size()}}};
    offset += tensor.data.size();
  }
  auto file = raw_safetensors(header.dump() + std::string(padding, ' '), 0);
  for (const auto& [name, tensor] : tensors)
    file.insert(file.end(), tensor.data.begin(), tensor.data.end());
  return file;
}

StoredTensors read_tensors(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  if (!file) throw std::runtime_error(file.error().message);
  const auto header = parse_safetensors(file->bytes(), path.string());
  if (!header) throw std::runtime_error(header.error().message);
  StoredTensors tensors;
  for (const auto& [name, entry] : *header)
    tensors[name] = {entry.dtype, entry.shape, {entry.data.begin(), entry.data.end()}};
  return tensors;
}

void write_bytes(const std::filesystem::path& path, const std::vector<std::byte>& bytes) {
  write_text(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

void write_text(const std::filesystem::path& path, std::string_view text) {
  std::ofstream stream(path, std::ios::binary);
  stream.write(text.data(), static_cast<std::streamsize>(text.size()));
  if (!stream) throw std::runtime_error("cannot write " + path.string());
}

TemporaryDirectory::TemporaryDirectory() {
  std::string pattern = (std::filesystem::temp_directory_path() / "dejavu-test-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  path_ = pattern;
}

TemporaryDirectory::TemporaryDirectory(const std::filesystem::path& source) : TemporaryDirectory() {
  std::filesystem::copy(source, path_, std::filesystem::copy_options::recursive);
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace dejavu
