// Reductions over a vocabulary in one fixed order: sixteen lanes, so that loops vectorise and bits
// do not depend on the instruction set.
#pragma once

#include <cstddef>
#include <limits>
#include <span>

namespace dejavu {

inline constexpr std::size_t kLanes = 16;
inline constexpr std::size_t kBlock = 256;  // elements summed in float before going to double
inline constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// A logit as the sampler takes it: NaN is -inf, +inf the largest finite number.
constexpr float sane(float x) {
  const float finite =
      x < std::numeric_limits<float>::max() ? x : std::numeric_limits<float>::max();
  return x == x ? finite : kMinusInfinity;
}

// Largest of sane values; -inf when empty.
float max_sane(std::span<const float> values);

// Sum of term(values[i]) in double over blocks of kBlock.
template <class Term>
double block_sum(std::span<const float> values, Term term) {
  double total = 0;
  for (std::size_t begin = 0; begin < values.size(); begin += kBlock) {
    const std::span<const float> block =
        values.subspan(begin, values.size() - begin < kBlock ? values.size() - begin : kBlock);
    float terms[kBlock] = {};
    for (std::size_t i = 0; i < block.size(); ++i) terms[i] = term(block[i]);
    float lanes[kLanes] = {};
    for (std::size_t i = 0; i < kBlock; i += kLanes) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += terms[i + lane];
    }
    double sum = 0;
    for (const float lane : lanes) sum += static_cast<double>(lane);
    total += sum;
  }
  return total;
}

}  // namespace dejavu
