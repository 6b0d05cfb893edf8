#include "engine/core/dtype.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

using namespace dejavu;

TEST_CASE("every F16 survives a round trip through float") {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float f = f16_to_float(half);
    if (std::isnan(f)) {
      REQUIRE((float_to_f16(f) & 0x7c00U) == 0x7c00U);
      REQUIRE((float_to_f16(f) & 0x3ffU) != 0);
    } else {
      REQUIRE(float_to_f16(f) == half);
    }
  }
}

TEST_CASE("F16 rounds to nearest even and saturates to infinity") {
  CHECK(float_to_f16(1.0F + 0x1p-11F) == 0x3c00);             // a tie goes to the even neighbour
  CHECK(float_to_f16(1.0F + 0x1p-11F + 0x1p-20F) == 0x3c01);  // above the tie
  CHECK(float_to_f16(1.0F + 3 * 0x1p-11F) == 0x3c02);
  CHECK(float_to_f16(65519.0F) == 0x7bff);
  CHECK(float_to_f16(65520.0F) == 0x7c00);
  CHECK(float_to_f16(-1e30F) == 0xfc00);
  CHECK(float_to_f16(0x1p-25F) == 0x0000);  // tie with zero
  CHECK(float_to_f16(0x1p-25F * 1.5F) == 0x0001);
}

TEST_CASE("BF16 rounds to nearest even and keeps NaN") {
  CHECK(float_to_bf16(1.0F + 0x1p-8F) == 0x3f80);
  CHECK(float_to_bf16(1.0F + 3 * 0x1p-8F) == 0x3f82);
  CHECK(std::isnan(bf16_to_float(float_to_bf16(std::numeric_limits<float>::quiet_NaN()))));
  CHECK(std::isinf(bf16_to_float(float_to_bf16(std::numeric_limits<float>::infinity()))));
}
