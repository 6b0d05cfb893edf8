// The safetensors container: 8 bytes little-endian header length, a JSON header, tensor data.
// https://github.com/huggingface/safetensors#format
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/result.h"

namespace dejavu {

struct SafetensorsEntry {
  std::string dtype;  // as stored: "F32", "BF16", "I64", …
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data;  // inside the parsed bytes; may be misaligned
};

using SafetensorsHeader = std::map<std::string, SafetensorsEntry, std::less<>>;

// What of a file there is: all of it, or at least its header. Then every entry's data is empty.
enum class SafetensorsPart { kWhole, kHeader };

// Reads the header of `file`, a whole safetensors file in memory, which must outlive the result.
// Every entry's data is checked to lie inside the file, to have the size its shape and dtype say,
// and to share no byte with another. Errors begin with `name` and name the tensor. Memory use is
// bounded by the header's size; input may be hostile.
Result<SafetensorsHeader> parse_safetensors(std::span<const std::byte> file, std::string_view name,
                                            SafetensorsPart part = SafetensorsPart::kWhole);

// The format allows no data byte that belongs to no tensor. On its own, for a reader that knows
// which tensors it needs names the missing one instead. `header` is that of the whole `file`.
Status check_no_hole(const SafetensorsHeader& header, std::span<const std::byte> file,
                     std::string_view name);

}  // namespace dejavu
