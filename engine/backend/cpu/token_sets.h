// Sets of units a token, on the host side of the CPU backend.
#pragma once

#include "engine/backend/backend.h"

namespace dejavu {

inline bool in_set(const MaskView& mask, std::int64_t token, int unit) {
  const std::uint32_t word = mask.words[token * mask.stride + unit / 32];
  return (word >> (static_cast<unsigned>(unit) % 32U) & 1U) != 0;
}

}  // namespace dejavu
