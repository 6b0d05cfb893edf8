#include "sparsity/tensor_writer.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>

namespace dejavu {

std::string safetensors_bytes(const TensorsToWrite& tensors) {
  nlohmann::json header = nlohmann::json::object();
  std::size_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    header[name] = {{"dtype", tensor.dtype},
                    {"shape", tensor.shape},
                    {"data_offsets", {offset, offset + tensor.data.size()}}};
    offset += tensor.data.size();
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // data begins at an even address
  std::string file;
  file.reserve(8 + text.size() + offset);
  for (unsigned i = 0; i < 8; ++i) file += static_cast<char>(text.size() >> (8 * i) & 0xff);
  file += text;
  for (const auto& [name, tensor] : tensors)
    file.append(reinterpret_cast<const char*>(tensor.data.data()), tensor.data.size());
  return file;
}

Status write_whole_file(const std::filesystem::path& path, const std::string& bytes) {
  const std::filesystem::path partial = path.string() + ".partial";
  std::ofstream stream(partial, std::ios::binary);
  stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  stream.close();
  std::error_code failed;
  if (stream) std::filesystem::rename(partial, path, failed);
  if (!stream || failed)
    return fail(
        ErrorCode::kInternal,
        path.string() + ": cannot be written; is the folder writable and the disk not full?");
  return {};
}

}  // namespace dejavu
