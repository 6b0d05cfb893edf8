// Predictor sums with tiles of 8-bit integers: 16 rows, read where they lie, are the left operand;
// a token's upper and lower bytes are two right ones. Internal linkage: see kernels.h.
#pragma once

#include "engine/backend/cpu/amx_tiles.h"
#include "engine/backend/cpu/predict_avx512.h"

namespace dejavu {
namespace {

struct PredictTiles {
  using I = Avx512Int;
  static constexpr std::int64_t kInputs = 64;  // of a step
  static constexpr std::int64_t kShort = 1024;
  static constexpr std::int64_t kLongAhead = 512;  // within long rows

  static std::int64_t width(std::int64_t tokens) { return smaller(tokens, kPackTokens); }
  static std::int64_t steps(std::int64_t in) { return round_up(in, kInputs) / kInputs; }
  // Bytes of 16 tokens: [step][upper, lower][16 fours of inputs][width][4].
  static std::int64_t tile_bytes(const PredictRows& rows) {
    return steps(rows.in) * 2 * kTileRows * width(rows.tokens) * 4;
  }

  struct Setup {
    explicit Setup(const PredictRows& rows)
        : shapes(kTileRows, static_cast<int>(width(rows.tokens))) {}
    TileShapes shapes;
  };

  static std::size_t packed_bytes(std::int64_t tokens, std::int64_t in) {
    return static_cast<std::size_t>(round_up(tokens, kPackTokens) * round_up(in, kInputs) * 2);
  }

  static void pack(const PredictRows& rows, const float* const* x, std::int64_t group,
                   bool normalise) {
    const std::int64_t n = width(rows.tokens);
    const std::int64_t first = group * kPackTokens;
    const std::int64_t tokens = smaller(n, rows.tokens - first);
    auto* out = static_cast<std::uint32_t*>(rows.packed) + group * tile_bytes(rows) / 4;
    // A token is rounded in stretches that the stack holds.
    constexpr std::int64_t kStretch = 512;
    alignas(64) std::int16_t rounded[kPackTokens][kStretch];
    float factor[kPackTokens];
    for (std::int64_t t = 0; t < tokens; ++t) {
      factor[t] = token_steps(rows, x[first + t], first + t, normalise);
    }
    for (std::int64_t begin = 0; begin < rows.in; begin += kStretch) {
      const std::int64_t end = smaller(kStretch, round_up(rows.in - begin, kInputs));
      for (std::int64_t t = 0; t < tokens; ++t) {
        for (std::int64_t i = 0; i < end; i += 16) {
          const auto left = static_cast<int>(larger(0, smaller(16, rows.in - begin - i)));
          const __m512 v = Avx512::load(x[first + t] + begin + i, left);
          I::store_rounded(rounded[t] + i, Avx512::mul(v, Avx512::set1(factor[t])));
        }
      }
      for (std::int64_t i = 0; i < end; i += kInputs) {
        put_step(rounded[0] + i, kStretch, tokens, n, out);
        out += 2 * kTileRows * n;
      }
    }
  }

  // Steps a unit of x makes; stores what a step is worth.
  static float token_steps(const PredictRows& rows, const float* x, std::int64_t token,
                           bool normalise) {
    const TokenScale scale = token_scale<Avx512>(x, rows.in, normalise);
    rows.token_scale[token] = scale.step;
    return scale.factor;
  }

  // 64 inputs of each token, as two tiles.
  static void put_step(const std::int16_t* from, std::int64_t stride, std::int64_t tokens,
                       std::int64_t n, std::uint32_t* out) {
    const __m512i low = _mm512_set1_epi16(0xff);
    __m512 upper[kPackTokens];
    __m512 lower[kPackTokens];
    for (std::int64_t t = 0; t < kPackTokens; ++t) {
      upper[t] = lower[t] = _mm512_setzero_ps();
      if (t >= tokens) continue;
      const __m512i a = _mm512_loadu_si512(from + t * stride);
      const __m512i b = _mm512_loadu_si512(from + t * stride + 32);
      upper[t] = bytes(_mm512_srai_epi16(a, 8), _mm512_srai_epi16(b, 8));
      lower[t] = bytes(_mm512_and_si512(a, low), _mm512_and_si512(b, low));
    }
    if (n == 1) {
      _mm512_storeu_ps(out, upper[0]);
      _mm512_storeu_ps(out + kTileRows, lower[0]);
      return;
    }
    Avx512::transpose(upper);
    Avx512::transpose(lower);
    for (std::int64_t four = 0; four < kTileRows; ++four) {
      auto* to = reinterpret_cast<float*>(out + four * n);
      Avx512::store(to, upper[four], static_cast<int>(n));
      Avx512::store(to + kTileRows * n, lower[four], static_cast<int>(n));
    }
  }
  static __m512 bytes(__m512i a, __m512i b) {
    return _mm512_castsi512_ps(_mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi16_epi8(a)),
                                                  _mm512_cvtepi16_epi8(b), 1));
  }

  // Not inlined: both products run the same code, and a cold step runs little of it.
  [[gnu::noinline]] static void sums(const PredictRows& rows, const ScoreBlock& block) {
    if (block.tokens <= kPackTokens && block.rows > kTileRows)
      return multiply<2, 1>(rows, block, 0);
    for (std::int64_t row = 0; row < block.rows; row += kTileRows) {
      if (block.tokens > kPackTokens) {
        multiply<1, 2>(rows, block, row);
      } else {
        multiply<1, 1>(rows, block, row);
      }
    }
  }

  // 64 inputs of 16 rows as a left operand.
  struct Weights {
    const std::int8_t* data;
    std::int64_t stride;
    alignas(64) std::int8_t staged[kTileRows][kInputs];

    Weights(const PredictRows& rows, std::int64_t row, std::int64_t step, const std::int8_t* ahead)
        : data(rows.w + row * rows.in + step * kInputs), stride(rows.in) {
      const std::int64_t apart = ahead == nullptr ? stride : kInputs;
      if (ahead == nullptr) ahead = data + kLongAhead;
      for (int r = 0; r < kTileRows; ++r) _mm_prefetch(ahead + r * apart, _MM_HINT_T0);
      const std::int64_t some = smaller(kTileRows, rows.rows - row);
      const std::int64_t inputs = smaller(kInputs, rows.in - step * kInputs);
      if (some == kTileRows && inputs == kInputs) return;
      stage(data, stride, {some, inputs}, staged);
      data = staged[0];
      stride = kInputs;
      stores_before_tiles(staged);
    }
  };

  // `Tiles` of 16 rows, one after the other, by N tiles of tokens, at most two products of both; a
  // row's sums are 256 times the upper bytes' and the lower ones'.
  template <int Tiles, int N>
  static void multiply(const PredictRows& rows, const ScoreBlock& block, std::int64_t row) {
    const std::int64_t n = width(rows.tokens);
    const std::int64_t tile_words = kTileRows * n;
    const std::int64_t first = block.row + row;
    const auto* tile = static_cast<const std::uint32_t*>(rows.packed) +
                       block.token / kPackTokens * tile_bytes(rows) / 4;
    // Short rows follow each other: the next ones are fetched in address order.
    const std::int8_t* next =
        rows.in <= kShort ? rows.w + (first + Tiles * kTileRows) * rows.in : nullptr;
    _tile_zero(0);
    _tile_zero(1);
    if constexpr (Tiles * N > 1) {
      _tile_zero(2);
      _tile_zero(3);
    }
    for (std::int64_t step = 0; step < steps(rows.in); ++step, tile += 2 * tile_words) {
      const Weights w(rows, first, step, next);
      if (next != nullptr) next += kTileRows * kInputs;
      _tile_loadd(4, w.data, w.stride);
      _tile_loadd(6, tile, n * 4);
      _tile_dpbssd(0, 4, 6);
      _tile_loadd(7, tile + tile_words, n * 4);
      _tile_dpbsud(1, 4, 7);
      if constexpr (Tiles > 1) {
        const Weights more(rows, first + kTileRows, step, next);
        if (next != nullptr) next += kTileRows * kInputs;
        _tile_loadd(5, more.data, more.stride);
        _tile_dpbssd(2, 5, 6);
        _tile_dpbsud(3, 5, 7);
      }
      if constexpr (N > 1) {
        const auto* others = tile + tile_bytes(rows) / 4;
        _tile_loadd(6, others, n * 4);
        _tile_dpbssd(2, 4, 6);
        _tile_loadd(7, others + tile_words, n * 4);
        _tile_dpbsud(3, 4, 7);
      }
    }
    alignas(64) std::int32_t sums[4][kTileRows * kTileRows];
    const std::int64_t out_stride = n == 1 ? 4 : 64;
    _tile_stored(0, sums[0], out_stride);
    _tile_stored(1, sums[1], out_stride);
    put_sums(sums[0], sums[1], n, block.sums + row);
    if constexpr (Tiles * N > 1) {
      _tile_stored(2, sums[2], out_stride);
      _tile_stored(3, sums[3], out_stride);
      put_sums(sums[2], sums[3], n,
               block.sums + row + (N > 1 ? kPackTokens * kSetWord : kTileRows));
    }
  }

  // [row][token] to [token][row].
  static void put_sums(const std::int32_t* upper, const std::int32_t* lower, std::int64_t n,
                       std::int32_t* out) {
    const auto sum = [&](std::int64_t i) {
      return _mm512_castsi512_ps(_mm512_add_epi32(
          _mm512_slli_epi32(_mm512_load_si512(upper + i), 8), _mm512_load_si512(lower + i)));
    };
    if (n == 1) return _mm512_storeu_ps(out, sum(0));
    __m512 lines[kTileRows];
    for (int r = 0; r < kTileRows; ++r) lines[r] = sum(r * kTileRows);
    Avx512::transpose(lines);
    for (std::int64_t t = 0; t < n; ++t) _mm512_storeu_ps(out + t * kSetWord, lines[t]);
  }

  struct Part {
    std::int64_t rows;
    std::int64_t inputs;
  };
  static void stage(const std::int8_t* w, std::int64_t stride, const Part& part,
                    std::int8_t (*to)[kInputs]) {
    const __mmask64 mask = part.inputs >= 64 ? ~__mmask64{0} : (__mmask64{1} << part.inputs) - 1;
    for (std::int64_t r = 0; r < kTileRows; ++r) {
      _mm512_store_si512(to[r], r < part.rows ? _mm512_maskz_loadu_epi8(mask, w + r * stride)
                                              : _mm512_setzero_si512());
    }
  }
};

// Tiles of one or two tokens are mostly empty: those take dot products. The sums are the same.
struct PredictAmx {
  using One = PredictDot<Avx512Int>;
  static bool few(const PredictRows& rows) { return rows.tokens <= 2; }

  static std::size_t packed_bytes(std::int64_t tokens, std::int64_t in) {
    return PredictTiles::packed_bytes(tokens, in);
  }
  static void pack(const PredictRows& rows, const float* const* x, std::int64_t group,
                   bool normalise) {
    if (few(rows)) return One::pack(rows, x, group, normalise);
    PredictTiles::pack(rows, x, group, normalise);
  }
  static void low(const PredictLowJob& job, std::int64_t begin, std::int64_t end) {
    if (few(job.rows)) return predict_low<One>(job, begin, end);
    predict_low<PredictTiles>(job, begin, end);
  }
  static void sets(const PredictSetJob& job, std::int64_t begin, std::int64_t end) {
    if (few(job.rows)) return predict_sets<One>(job, begin, end);
    predict_sets<PredictTiles>(job, begin, end);
  }
  static constexpr PredictKernel kernel() { return {packed_bytes, pack, low, sets}; }
};

}  // namespace
}  // namespace dejavu
