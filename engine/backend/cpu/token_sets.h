// Sets of units a token, on the host side of the CPU backend.
#pragma once

#include <cstring>

#include "engine/backend/backend.h"

namespace dejavu {

inline bool in_set(const MaskView& mask, std::int64_t token, int unit) {
  const std::uint32_t word = mask.words[token * mask.stride + unit / 32];
  return (word >> (static_cast<unsigned>(unit) % 32U) & 1U) != 0;
}

// Zeros the columns of the units that are out; each unit has cols / units columns.
inline void apply_mask(const MaskView& mask, const Matrix& x) {
  if (mask.words == nullptr) return;
  const std::int64_t width = x.cols / mask.units;
  const std::size_t bytes = static_cast<std::size_t>(width) * dtype_size(x.dtype);
  for (std::int64_t t = 0; t < x.rows; ++t) {
    auto* row = static_cast<std::byte*>(x.row(t));
    for (int u = 0; u < mask.units; ++u) {
      if (!in_set(mask, t, u)) std::memset(row + static_cast<std::size_t>(u) * bytes, 0, bytes);
    }
  }
}

}  // namespace dejavu
