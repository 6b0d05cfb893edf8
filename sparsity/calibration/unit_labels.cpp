#include "sparsity/calibration/unit_labels.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace dejavu {
namespace {

// A code is the exponent and the first three bits of the mantissa, counted from 2^-16.
constexpr int kDropped = 20;
constexpr int kFirst = (127 - 16) << 3;

}  // namespace

void UnitLabels::reserve(std::int64_t tokens) {
  bits_.reserve(static_cast<std::size_t>(tokens * words_));
  first_code_.reserve(static_cast<std::size_t>(tokens));
}

void UnitLabels::add(std::span<const float> costs) {
  first_code_.push_back(codes_.size());
  const std::size_t first = bits_.size();
  bits_.resize(first + static_cast<std::size_t>(words_));
  for (std::size_t u = 0; u < costs.size(); ++u) {
    if (costs[u] <= 0) continue;
    bits_[first + u / 32] |= 1U << (u % 32);
    const int code =
        static_cast<int>(std::bit_cast<std::uint32_t>(std::sqrt(costs[u])) >> kDropped) - kFirst;
    codes_.push_back(static_cast<std::uint8_t>(std::clamp(code, 1, 255)));
  }
}

float UnitLabels::weight(std::uint8_t code) {
  const auto bits = static_cast<std::uint32_t>(code + kFirst) << kDropped;
  return std::bit_cast<float>(bits | 1U << (kDropped - 1));
}

}  // namespace dejavu
