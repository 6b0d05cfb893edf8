// y = x W with tiles: up to 16 tokens by 32 inputs of x, read where they lie packed, are the left
// operand, the panel of w is the right one. Internal linkage: see kernels.h.
#pragma once

#include "engine/backend/cpu/amx_tiles.h"
#include "engine/backend/cpu/bf16_panel.h"

namespace dejavu {
namespace {

struct AmxProject : Bf16Panel<TilesTogether> {
  using Tile = PanelTile<AmxProject>;

  // Very few tokens: the panel's interleave would cost more than reading the weights, so rows are
  // right operands as they lie. A tile step on the panel adds the even and the odd inputs up apart,
  // each from zero, and then both to the sum. Here the 16 even rows are one tile and the 16 odd
  // ones another; a right operand's "pairs" are then neighbouring columns, and x, spread out with
  // zeros between, picks the one or the other. The additions are the same, to the bit.
  static constexpr std::int64_t kDirectTokens = 4;
  static void stream_direct(const ProjectJob& job, const RangePlace& at) {
    const FlushDenormals flush;
    const std::int64_t tokens = job.x.rows;
    const TileShapes shapes(static_cast<int>(2 * tokens), kTileRows);
    alignas(64) std::uint16_t spread[2][2 * kDirectTokens][kTileInputs];
    alignas(64) std::uint16_t staged[kTileInputs][32];
    alignas(64) float sums[2][2 * kDirectTokens][kTileRows];
    for (std::int64_t n = at.first; n < at.last; n += kTileInputs) {
      for (std::int64_t t = 0; t < tokens; ++t)
        spread_token(packed_x<AmxProject>(job, t, n), t, spread);
      stores_before_tiles(spread);
      _tile_loadd(4, spread[0], 64);
      _tile_loadd(5, spread[1], 64);
      const RowsAhead<kTileInputs, 128> ahead(job.w, n, at.begin, smaller(at.end, job.w.cols));
      for (std::int64_t column = at.begin; column < at.end; column += 32) {
        const auto* rows =
            static_cast<const std::uint16_t*>(job.w.data) + n * job.w.stride + column;
        std::int64_t stride = job.w.stride;
        if (job.w.cols - column < 32 || n + kTileInputs > job.w.rows) {
          for_rows<kTileInputs>(job.w, n, column,
                                [&](int i, __m512i row) { _mm512_store_si512(staged[i], row); });
          rows = staged[0];
          stride = 32;
          stores_before_tiles(staged);
        }
        _tile_zero(0);
        _tile_loadd(6, rows, 4 * stride);
        ahead.fetch((column - at.begin) * 2);
        _tile_dpbf16ps(0, 4, 6);
        _tile_stored(0, sums[0], 64);
        _tile_zero(1);
        _tile_loadd(7, rows + stride, 4 * stride);
        _tile_dpbf16ps(1, 5, 7);
        _tile_stored(1, sums[1], 64);
        for (std::int64_t t = 0; t < tokens; ++t) {
          const __m512 even = S::add(S::load(sums[0][2 * t]), S::load(sums[1][2 * t]));
          const __m512 odd = S::add(S::load(sums[0][2 * t + 1]), S::load(sums[1][2 * t + 1]));
          add_columns(even, odd, n == at.first, at.partial + t * job.partial_stride + column);
        }
      }
    }
  }

  // The even inputs of 32 go to spread[0], the odd ones to spread[1]; row 2t picks even columns,
  // row 2t + 1 odd ones.
  static void spread_token(const X* x, std::int64_t t,
                           std::uint16_t (&to)[2][2 * kDirectTokens][kTileInputs]) {
    const __m512i pairs = _mm512_loadu_si512(x);
    const __m512i low = _mm512_set1_epi32(0xffff);
    _mm512_store_si512(to[0][2 * t], _mm512_and_si512(pairs, low));
    _mm512_store_si512(to[0][2 * t + 1], _mm512_slli_epi32(pairs, 16));
    _mm512_store_si512(to[1][2 * t], _mm512_srli_epi32(pairs, 16));
    _mm512_store_si512(to[1][2 * t + 1], _mm512_andnot_si512(low, pairs));
  }

  // Adds the sums of 32 columns to a partial.
  static void add_columns(__m512 even, __m512 odd, bool first, float* to) {
    const __m512 low = first ? S::zero() : S::load(to);
    const __m512 high = first ? S::zero() : S::load(to + S::kWidth);
    S::store(to, S::add(low, _mm512_unpacklo_ps(even, odd)));
    S::store(to + S::kWidth, S::add(high, _mm512_unpackhi_ps(even, odd)));
  }

  // 32 rows at a time: 32 columns of them are interleaved into one buffer while the tiles of the
  // other are multiplied. Sums rest in memory.
  static constexpr std::int64_t kStreamTokens = kTileRows;
  static void stream(const ProjectJob& job, const RangePlace& at) {
    if (job.x.rows <= kDirectTokens) return stream_direct(job, at);
    alignas(64) Panel pairs[2][kTileRows * 32];
    const TileShapes shapes(static_cast<int>(job.x.rows), kTileRows);
    const std::int64_t sums_stride = job.partial_stride * 4;
    for (std::int64_t n = at.first; n < at.last; n += kTileInputs) {
      _tile_loadd(4, packed_x<AmxProject>(job, 0, n), packed_stride<X>(job.x.cols) * 2);
      Prefetcher ahead = inputs_ahead(job, at, n, kTileInputs);
      interleave(job.w, n, at.begin, pairs[0]);
      for (std::int64_t column = at.begin, turn = 0; column < at.end; column += 32, turn ^= 1) {
        if (column + 32 < at.end) interleave(job.w, n, column + 32, pairs[turn ^ 1]);
        ahead.lines(2);
        float* sums = at.partial + column;
        if (n == at.first) {
          _tile_zero(0);
          _tile_zero(1);
        } else {
          _tile_loadd(0, sums, sums_stride);
          _tile_loadd(1, sums + 16, sums_stride);
        }
        stores_before_tiles(pairs);
        _tile_loadd(6, pairs[turn], 128);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, pairs[turn] + 16, 128);
        _tile_dpbf16ps(1, 4, 7);
        _tile_stored(0, sums, sums_stride);
        _tile_stored(1, sums + 16, sums_stride);
      }
    }
  }

  // Rows [n, n + 32), columns [column, column + 32) as two tiles side by side.
  static void interleave(const ConstMatrix& w, std::int64_t n, std::int64_t column, Panel* to) {
    __m512i even;
    for_rows<kTileInputs>(w, n, column, [&](int i, __m512i row) {
      if (i % 2 == 0) {
        even = row;
        return;
      }
      _mm512_store_si512(to + i / 2 * 32, _mm512_unpacklo_epi16(even, row));
      _mm512_store_si512(to + i / 2 * 32 + 16, _mm512_unpackhi_epi16(even, row));
    });
  }

  // The panel: 32 tokens by 32 columns at a time, so that half of it stays in L1.
  static void multiply(const Tile& tile) {
    constexpr std::int64_t kPair = 2 * kTileRows;
    stores_before_tiles(tile.panel);
    const TileShapes shapes(kTileRows, kTileRows);
    alignas(64) float sums[kPair * kPair];
    TileQuad quad;
    quad.left_stride = tile.x_stride * 2;
    quad.left_step = kTileInputs * 2;
    quad.steps = tile.steps / kTileRows;
    quad.from_stride = tile.stride;
    quad.to_stride = tile.add == nullptr ? tile.stride : kPair;
    for (std::int64_t column = 0; column < kColumnPanel; column += kPair) {
      quad.right[0] = tile.panel + column / 16 * TilesTogether::kVector;
      quad.right[1] = tile.panel + (column / 16 + 1) * TilesTogether::kVector;
      for (std::int64_t token = 0; token < tile.tokens; token += kPair) {
        quad.left[0] = tile.x + token * tile.x_stride;
        // An odd last tile is multiplied twice and used once.
        quad.left[1] =
            tile.x + (token + (token + kTileRows < tile.tokens ? kTileRows : 0)) * tile.x_stride;
        const std::int64_t place = token * tile.stride + column;
        quad.from = tile.from == nullptr ? nullptr : tile.from + place;
        quad.to = tile.add == nullptr ? tile.to + place : sums;
        multiply_quad(quad, [] {});
        if (tile.add == nullptr) continue;
        for (std::int64_t t = 0; t < kPair; ++t) {
          for (std::int64_t c = 0; c < kPair; c += S::kWidth) {
            const std::int64_t to = place + t * tile.stride + c;
            S::store(tile.to + to, S::add(S::load(tile.add + to), S::load(sums + t * kPair + c)));
          }
        }
      }
    }
  }
};

}  // namespace
}  // namespace dejavu
