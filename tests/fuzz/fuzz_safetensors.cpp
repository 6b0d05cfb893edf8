// libFuzzer entry: a whole safetensors file. Every tensor that is accepted must be readable.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "engine/model/copy_slice.h"
#include "engine/model/safetensors.h"

namespace {

void read_all(const dejavu::SafetensorsEntry& entry) {
  unsigned sum = 0;
  for (const std::byte byte : entry.data) sum += std::to_integer<unsigned>(byte);
  if (entry.dtype != "BF16" || entry.data.empty()) return;
  // Converted as a column: the transposing path at whatever alignment the file has.
  const auto count = static_cast<std::int64_t>(entry.data.size() / 2);
  std::vector<float> out(static_cast<std::size_t>(count));
  const dejavu::ConstMatrix from{entry.data.data(), dejavu::DType::kBF16, count, 1, 1};
  dejavu::copy_slice(from, {true, 0, {out.data(), dejavu::DType::kF32, 1, count, count}});
  if (sum > 0 && out.empty()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto header =
      dejavu::parse_safetensors({reinterpret_cast<const std::byte*>(data), size}, "fuzz");
  if (!header) {
    if (header.error().message.empty()) std::abort();
    return 0;
  }
  for (const auto& [name, entry] : *header) read_all(entry);
  return 0;
}
