// exp() for arguments at or below zero, plain enough that the compiler vectorises a loop of it, and
// the same bits on every instruction set. Cephes' expf polynomial; relative error below 2e-7.
#pragma once

#include <bit>
#include <cstdint>

namespace dejavu {

constexpr float exp_nonpositive(float x) {
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer
  const float clamped = x < -87.0F ? -87.0F : x;
  const float shifted = clamped * 1.44269504F + kRound;
  const float n = shifted - kRound;
  const float r = (clamped - n * 0.693359375F) + n * 2.12194440e-4F;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * r * r + r + 1.0F;
  const auto scale = std::bit_cast<float>((std::bit_cast<std::uint32_t>(shifted) + 127U) << 23);
  return x < -87.0F ? 0.0F : p * scale;
}

}  // namespace dejavu
