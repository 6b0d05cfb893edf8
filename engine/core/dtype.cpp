#include "engine/core/dtype.h"

namespace dejavu {

float f16_to_float(std::uint16_t v) {
  const std::uint32_t sign = static_cast<std::uint32_t>(v & 0x8000U) << 16;
  const std::uint32_t exponent = (v >> 10) & 0x1fU;
  const std::uint32_t mantissa = v & 0x3ffU;
  std::uint32_t bits = 0;
  if (exponent == 0) {  // zero or subnormal: mantissa * 2^-24 is exact in float
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
    std::memcpy(&bits, &magnitude, sizeof bits);
    bits |= sign;
  } else if (exponent == 31) {
    bits = sign | 0x7f800000U | (mantissa << 13);
  } else {
    bits = sign | ((exponent + 112) << 23) | (mantissa << 13);
  }
  float f = 0;
  std::memcpy(&f, &bits, sizeof f);
  return f;
}

std::uint16_t float_to_f16(float f) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &f, sizeof bits);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000U);
  bits &= 0x7fffffffU;
  if (bits > 0x7f800000U) return sign | 0x7e00U;   // NaN
  if (bits >= 0x477ff000U) return sign | 0x7c00U;  // rounds to infinity
  if (bits < 0x38800000U) {                        // subnormal in F16
    float magnitude = 0;
    std::memcpy(&magnitude, &bits, sizeof magnitude);
    // Adding 0.5 puts the result's last F16 subnormal bit at the float's last mantissa bit, so the
    // hardware rounds to nearest even.
    const float shifted = magnitude + 0.5F;
    std::uint32_t shifted_bits = 0;
    std::memcpy(&shifted_bits, &shifted, sizeof shifted_bits);
    return sign | static_cast<std::uint16_t>(shifted_bits - 0x3f000000U);
  }
  const std::uint32_t rounded = bits + 0xfffU + ((bits >> 13) & 1U);
  return sign | static_cast<std::uint16_t>((rounded - 0x38000000U) >> 13);
}

float load_element(const void* data, DType t, std::size_t index) {
  if (t == DType::kF32) return static_cast<const float*>(data)[index];
  const std::uint16_t raw = static_cast<const std::uint16_t*>(data)[index];
  return t == DType::kF16 ? f16_to_float(raw) : bf16_to_float(raw);
}

void store_element(void* data, DType t, std::size_t index, float value) {
  if (t == DType::kF32) {
    static_cast<float*>(data)[index] = value;
  } else {
    static_cast<std::uint16_t*>(data)[index] =
        t == DType::kF16 ? float_to_f16(value) : float_to_bf16(value);
  }
}

}  // namespace dejavu
