// Predictor sums by dot products of 16-bit integers. Internal linkage: see kernels.h.
#pragma once

#include "engine/backend/cpu/predict_common.h"

namespace dejavu {
namespace {

template <class Int>
struct PredictDot {
  using I = Int;
  using S = typename I::S;
  using V = typename I::V;

  // Rows follow each other, and short ones are all read before long.
  static constexpr std::int64_t kAhead = 2048;

  struct Setup {
    explicit Setup(const PredictRows& /*rows*/) {}
  };

  static std::int64_t stride(std::int64_t in) { return round_up(in, I::kInputs); }
  static std::size_t packed_bytes(std::int64_t tokens, std::int64_t in) {
    return static_cast<std::size_t>(tokens * stride(in)) * sizeof(std::int16_t);
  }
  static void pack(const PredictRows& rows, const float* const* x, std::int64_t group,
                   bool normalise) {
    const std::int64_t end = smaller(rows.tokens, (group + 1) * kPackTokens);
    for (std::int64_t t = group * kPackTokens; t < end; ++t) {
      std::int16_t* to = static_cast<std::int16_t*>(rows.packed) + t * stride(rows.in);
      const TokenScale scale = token_scale<S>(x[t], rows.in, normalise);
      rows.token_scale[t] = scale.step;
      for (std::int64_t i = 0; i < stride(rows.in); i += S::kWidth) {
        const auto n = static_cast<int>(larger(0, smaller(S::kWidth, rows.in - i)));
        I::store_rounded(to + i, S::mul(S::load(x[t] + i, n), S::set1(scale.factor)));
      }
    }
  }

  // Four rows by N tokens.
  template <int N>
  static void multiply(const PredictRows& rows, const std::int8_t* const* w, const std::int16_t* x,
                       std::int32_t* sums) {
    const std::int64_t x_stride = stride(rows.in);
    V acc[N][4];
    for (int t = 0; t < N; ++t) {
      for (int r = 0; r < 4; ++r) acc[t][r] = I::zero();
    }
    for (std::int64_t k = 0; k < rows.in; k += I::kInputs) {
      const auto left = smaller(I::kInputs, rows.in - k);
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r) {
        if (k % 64 == 0) {
          _mm_prefetch(reinterpret_cast<const char*>(w[r] + k) + kAhead, _MM_HINT_T0);
        }
        const V weight = left == I::kInputs ? I::widen(w[r] + k) : I::widen(w[r] + k, left);
#pragma GCC unroll 4
        for (int t = 0; t < N; ++t) {
          acc[t][r] = I::add(acc[t][r], I::multiply(weight, x + t * x_stride + k));
        }
      }
    }
    for (int t = 0; t < N; ++t) {
      const __m128i four = I::sum4(acc[t][0], acc[t][1], acc[t][2], acc[t][3]);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(sums + t * kSetWord), four);
    }
  }

  static void sums(const PredictRows& rows, const ScoreBlock& block) {
    constexpr int kTokens = 4;
    const auto* x = static_cast<const std::int16_t*>(rows.packed);
    for (std::int64_t r = 0; r < block.rows; r += 4) {
      const std::int8_t* w[4];
      for (int i = 0; i < 4; ++i) {
        w[i] = rows.w + smaller(block.row + r + i, rows.rows - 1) * rows.in;
      }
      std::int64_t t = 0;
      for (; t + kTokens <= block.tokens; t += kTokens) {
        multiply<kTokens>(rows, w, x + (block.token + t) * stride(rows.in),
                          block.sums + t * kSetWord + r);
      }
      for (; t < block.tokens; ++t) {
        multiply<1>(rows, w, x + (block.token + t) * stride(rows.in),
                    block.sums + t * kSetWord + r);
      }
    }
  }
};

}  // namespace
}  // namespace dejavu
