// Vectors of 16 floats. For translation units compiled for AVX-512 (F, BW, DQ, VL) only: everything
// here has internal linkage, so that no other unit can end up running it.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "engine/core/dtype.h"

namespace dejavu {
namespace {

struct Avx512 {
  using V = __m512;
  static constexpr int kWidth = 16;
  static constexpr int kTileTokens = 6;  // 4 vectors x 6 tokens of sums fit the 32 registers

  static V zero() { return _mm512_setzero_ps(); }
  static V set1(float v) { return _mm512_set1_ps(v); }
  static V load(const float* p) { return _mm512_loadu_ps(p); }
  static V load(const float* p, int n) { return _mm512_maskz_loadu_ps(first(n), p); }
  static void store(float* p, V v) { _mm512_storeu_ps(p, v); }
  static void store(float* p, V v, int n) { _mm512_mask_storeu_ps(p, first(n), v); }

  template <DType D>
  static V load_as(const void* p) {
    if constexpr (D == DType::kF32) {
      return _mm512_loadu_ps(p);
    } else {
      return widen<D>(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
    }
  }
  template <DType D>
  static V load_as(const void* p, int n) {
    if constexpr (D == DType::kF32) {
      return _mm512_maskz_loadu_ps(first(n), p);
    } else {
      return widen<D>(_mm256_maskz_loadu_epi16(first(n), p));
    }
  }
  template <DType D>
  static void store_as(void* p, V v) {
    if constexpr (D == DType::kF32) {
      _mm512_storeu_ps(p, v);
    } else {
      _mm256_storeu_si256(static_cast<__m256i*>(p), narrow<D>(v));
    }
  }
  template <DType D>
  static void store_as(void* p, V v, int n) {
    if constexpr (D == DType::kF32) {
      _mm512_mask_storeu_ps(p, first(n), v);
    } else {
      _mm256_mask_storeu_epi16(p, first(n), narrow<D>(v));
    }
  }

  static V add(V a, V b) { return _mm512_add_ps(a, b); }
  static V sub(V a, V b) { return _mm512_sub_ps(a, b); }
  static V mul(V a, V b) { return _mm512_mul_ps(a, b); }
  static V div(V a, V b) { return _mm512_div_ps(a, b); }
  static V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
  static V max(V a, V b) { return _mm512_max_ps(a, b); }
  static V min(V a, V b) { return _mm512_min_ps(a, b); }
  static V sqrt(V a) { return _mm512_sqrt_ps(a); }
  static V round(V a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT); }
  // a > b ? x : y
  static V select_greater(V a, V b, V x, V y) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), y, x);
  }
  // Lanes [begin, end) of a, the others of b.
  static V keep(V a, int begin, int end, V b) {
    const auto mask = static_cast<__mmask16>(first(end) & ~first(begin));
    return _mm512_mask_blend_ps(mask, b, a);
  }
  // Lanes whose bit is 1; zeros elsewhere.
  static V keep_bits(V v, std::uint32_t bits) {
    return _mm512_maskz_mov_ps(static_cast<__mmask16>(bits), v);
  }
  // A bit a lane: not zero; a >= b.
  static std::uint32_t nonzero(V v) { return _mm512_cmp_ps_mask(v, zero(), _CMP_NEQ_UQ); }
  static std::uint32_t at_least(V a, V b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
  // v * 2^n for whole n.
  static V scale_by_power(V v, V n) { return _mm512_scalef_ps(v, n); }

  static float sum(V v) {
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    const __m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
  }
  // The sums of four vectors, in order.
  static __m128 sum4(V a, V b, V c, V d) {
    const V ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const V cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    const V low = _mm512_shuffle_ps(ab, cd, 0x44);
    const V high = _mm512_shuffle_ps(ab, cd, 0xee);
    const V lanes = _mm512_add_ps(low, high);
    const __m256 half =
        _mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1));
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  }
  static float largest(V v) { return _mm512_reduce_max_ps(v); }

  // rows[i][j] becomes rows[j][i].
  static void transpose(V rows[16]) {
    V t[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
      t[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
      t[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
    V u[16];  // u[4g + c]: column c (mod 4) of rows 4g .. 4g+3, one 128-bit lane a column group
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
      u[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
      u[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
      u[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
      u[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      const V a = _mm512_shuffle_f32x4(u[c], u[4 + c], 0x88);  // lanes 0, 2 of both
      const V b = _mm512_shuffle_f32x4(u[c], u[4 + c], 0xdd);  // lanes 1, 3
      const V d = _mm512_shuffle_f32x4(u[8 + c], u[12 + c], 0x88);
      const V e = _mm512_shuffle_f32x4(u[8 + c], u[12 + c], 0xdd);
      rows[c] = _mm512_shuffle_f32x4(a, d, 0x88);
      rows[c + 4] = _mm512_shuffle_f32x4(b, e, 0x88);
      rows[c + 8] = _mm512_shuffle_f32x4(a, d, 0xdd);
      rows[c + 12] = _mm512_shuffle_f32x4(b, e, 0xdd);
    }
  }

 private:
  static __mmask16 first(int n) {
    return static_cast<__mmask16>(n >= 16 ? 0xffffU : (1U << n) - 1U);
  }
  template <DType D>
  static V widen(__m256i raw) {
    if constexpr (D == DType::kF16) {
      return _mm512_cvtph_ps(raw);
    } else {
      return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(raw), 16));
    }
  }
  // Rounds to nearest even; NaN stays NaN.
  template <DType D>
  static __m256i narrow(V v) {
    if constexpr (D == DType::kF16) {
      return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    } else {
      const __m512i bits = _mm512_castps_si512(v);
      const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
      const __m512i rounded =
          _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
      const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
      const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
      const __m512i kept = _mm512_mask_blend_epi32(nan, rounded, quiet);
      return _mm512_cvtepi32_epi16(_mm512_srli_epi32(kept, 16));
    }
  }
};

}  // namespace
}  // namespace dejavu
