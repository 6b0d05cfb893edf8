// y = x W^T with tiles: 16 rows of w, read where they lie, are the left operand; up to 16 tokens of
// x, packed in pairs of inputs, are the right one. So one token costs the bytes of w, and sixteen
// cost hardly more. Internal linkage: see kernels.h.
#pragma once

#include "engine/backend/cpu/amx_tiles.h"
#include "engine/backend/cpu/rows_common.h"
#include "engine/backend/cpu/simd_avx512.h"

namespace dejavu {
namespace {

struct AmxRows {
  static constexpr std::int64_t kPanelTiles = 4;  // token tiles a pass over w takes

  // Tokens of a tile: 16, or all of them when they are fewer.
  static std::int64_t width(std::int64_t tokens) { return smaller(tokens, kPackTokens); }
  static std::int64_t steps(std::int64_t in) { return round_up(in, kTileInputs) / kTileInputs; }

  static std::size_t packed_bytes(std::int64_t tokens, std::int64_t in) {
    return static_cast<std::size_t>(round_up(tokens, width(larger(tokens, 1))) *
                                    round_up(in, kTileInputs) * 2);
  }

  // [token tile][step][16 pairs][width][2]
  static void pack(const RowsJob& job, std::int64_t group) {
    const std::int64_t n = width(job.x.rows);
    const std::int64_t tokens = smaller(n, job.x.rows - group * kPackTokens);
    auto* out = static_cast<std::uint32_t*>(job.packed) + group * steps(job.x.cols) * kTileRows * n;
    for (std::int64_t k = 0; k < job.x.cols; k += kTileInputs) {
      __m512 block[kPackTokens];
      for (std::int64_t t = 0; t < kPackTokens; ++t) {
        block[t] = t < tokens ? step_of(job.x, group * kPackTokens + t, k) : _mm512_setzero_ps();
      }
      if (n == 1) {
        _mm512_storeu_ps(out, block[0]);
      } else {
        Avx512::transpose(block);
        for (std::int64_t pair = 0; pair < kTileRows; ++pair) {
          Avx512::store(reinterpret_cast<float*>(out + pair * n), block[pair], static_cast<int>(n));
        }
      }
      out += kTileRows * n;
    }
  }

  // Inputs [k, k + kTileInputs) of one token as BF16 pairs; zeros past the last input.
  static __m512 step_of(const ConstMatrix& x, std::int64_t token, std::int64_t k) {
    alignas(64) std::uint16_t inputs[kTileInputs];
    for (std::int64_t i = 0; i < kTileInputs; i += 16) {
      const auto left = static_cast<int>(larger(0, smaller(16, x.cols - k - i)));
      Avx512::store_as<DType::kBF16>(inputs + i,
                                     load_any<Avx512>(x.dtype, at(x, token, k + i), left));
    }
    return _mm512_loadu_ps(inputs);
  }

  // A row block of w against `tiles` token tiles; sums come out as [token][kFinishRows].
  struct Block {
    const ConstMatrix* w = nullptr;
    std::int64_t row = 0;
    const std::uint32_t* x = nullptr;  // packed, at the first token tile
    std::int64_t width = 0;
    float* sums = nullptr;
  };

  template <int N>
  static void multiply(const Block& b) {
    const RowsAhead<kTileRows> ahead(*b.w, b.row, 0, b.w->cols);
    const std::int64_t steps_all = steps(b.w->cols);
    const std::int64_t tile_words = kTileRows * b.width;
    const std::int64_t x_stride = b.width * 4;
    const std::int64_t rows = smaller(kTileRows, b.w->rows - b.row);
    alignas(64) std::uint16_t staged[kTileRows][kTileInputs];
    _tile_zero(0);
    if constexpr (N > 1) _tile_zero(1);
    if constexpr (N > 2) _tile_zero(2);
    if constexpr (N > 3) _tile_zero(3);
    for (std::int64_t step = 0; step < steps_all; ++step) {
      const auto* w = static_cast<const std::uint16_t*>(at(*b.w, b.row, step * kTileInputs));
      std::int64_t w_stride = b.w->stride * 2;
      const std::int64_t inputs = smaller(kTileInputs, b.w->cols - step * kTileInputs);
      if (rows < kTileRows || inputs < kTileInputs) {
        stage(w, b.w->stride, rows, inputs, staged);
        w = staged[0];
        w_stride = sizeof staged[0];
        stores_before_tiles(staged);
      }
      const std::uint32_t* x = b.x + step * tile_words;
      const std::int64_t next = steps_all * tile_words;
      _tile_loadd(4, w, w_stride);
      ahead.fetch(step * kTileInputs * 2);
      _tile_loadd(6, x, x_stride);
      _tile_dpbf16ps(0, 4, 6);
      if constexpr (N > 1) {
        _tile_loadd(7, x + next, x_stride);
        _tile_dpbf16ps(1, 4, 7);
      }
      if constexpr (N > 2) {
        _tile_loadd(6, x + 2 * next, x_stride);
        _tile_dpbf16ps(2, 4, 6);
      }
      if constexpr (N > 3) {
        _tile_loadd(7, x + 3 * next, x_stride);
        _tile_dpbf16ps(3, 4, 7);
      }
    }
    if (b.width == 1) {  // already in order
      _tile_stored(0, b.sums, 4);
      return;
    }
    alignas(64) float tile[kTileRows * kTileRows];
    _tile_stored(0, tile, 64);
    turn(tile, b, 0);
    if constexpr (N > 1) {
      _tile_stored(1, tile, 64);
      turn(tile, b, 1);
    }
    if constexpr (N > 2) {
      _tile_stored(2, tile, 64);
      turn(tile, b, 2);
    }
    if constexpr (N > 3) {
      _tile_stored(3, tile, 64);
      turn(tile, b, 3);
    }
  }

  // [row][token] to [token][row].
  static void turn(const float* tile, const Block& b, std::int64_t index) {
    float* out = b.sums + index * b.width * kFinishRows;
    __m512 rows[kTileRows];
    const int width = static_cast<int>(b.width);
    for (int i = 0; i < kTileRows; ++i) rows[i] = Avx512::load(tile + i * kTileRows, width);
    Avx512::transpose(rows);
    for (int t = 0; t < width; ++t) Avx512::store(out + t * kFinishRows, rows[t]);
  }

  // Copies a partial tile of w, padded with zeros.
  static void stage(const std::uint16_t* w, std::int64_t stride, std::int64_t rows,
                    std::int64_t inputs, std::uint16_t (*to)[kTileInputs]) {
    const auto mask = static_cast<__mmask32>(inputs >= 32 ? ~0U : (1U << inputs) - 1U);
    for (std::int64_t r = 0; r < kTileRows; ++r) {
      _mm512_store_si512(to[r], r < rows ? _mm512_maskz_loadu_epi16(mask, w + r * stride)
                                         : _mm512_setzero_si512());
    }
  }

  static void multiply_some(std::int64_t tiles, const Block& b) {
    if (tiles == 1) return multiply<1>(b);
    if (tiles == 2) return multiply<2>(b);
    if (tiles == 3) return multiply<3>(b);
    multiply<4>(b);
  }

  // At most kPanelTiles * kPackTokens tokens.
  static void run(const RowsJob& job, std::int64_t begin, std::int64_t end) {
    if (job.x.rows == 0) return;
    const bool gated = job.gate.data != nullptr;
    alignas(64) float sums[kPanelTiles * kPackTokens * kFinishRows];
    alignas(64) float gate_sums[kPanelTiles * kPackTokens * kFinishRows];
    Block b;
    b.width = width(job.x.rows);
    const TileShapes shapes(kTileRows, static_cast<int>(b.width));
    const std::int64_t tiles = (job.x.rows + b.width - 1) / b.width;
    b.x = static_cast<const std::uint32_t*>(job.packed);
    const auto multiply_rows = [&](const ConstMatrix& w, std::int64_t row, float* to) {
      b.w = &w;
      for (b.row = row; b.row < smaller(end, row + kFinishRows); b.row += kRowBlock) {
        b.sums = to + (b.row - row);
        multiply_some(tiles, b);
      }
    };
    for (std::int64_t row = begin; row < end; row += kFinishRows) {
      multiply_rows(job.w, row, sums);
      if (gated) multiply_rows(job.gate, row, gate_sums);
      for (std::int64_t t = 0; t < job.x.rows; ++t) {
        const std::int64_t place = t * kFinishRows;
        finish<Avx512>(job, {t, row, smaller(kFinishRows, end - row), sums + place,
                             gated ? gate_sums + place : nullptr});
      }
    }
  }
};

}  // namespace
}  // namespace dejavu
