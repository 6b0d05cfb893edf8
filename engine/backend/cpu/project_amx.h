// y = x W with tiles: up to 16 tokens by 32 inputs of x, read where they lie packed, are the left
// operand, the panel of w is the right one. Internal linkage: see kernels.h.
#pragma once

#include "engine/backend/cpu/amx_tiles.h"
#include "engine/backend/cpu/bf16_panel.h"

namespace dejavu {
namespace {

struct AmxProject : Bf16Panel<TilesTogether> {
  using Tile = PanelTile<AmxProject>;

  // One token: the same additions in vectors, where passing every weight through memory into a tile
  // would cost more than reading it. A tile step adds the even and the odd inputs up apart, each by
  // multiply-adds from zero, then both to the sum; denormals are zero.
  static void stream_one(const ProjectJob& job, const RangePlace& at) {
    constexpr unsigned kFlushDenormals = 0x8040;
    const unsigned control = _mm_getcsr();
    _mm_setcsr(control | kFlushDenormals);
    alignas(64) float x[kTileInputs];
    for (std::int64_t n = at.first; n < at.last; n += kTileInputs) {
      for (std::int64_t i = 0; i < kTileInputs; i += S::kWidth) {
        S::store(x + i, S::load_as<DType::kBF16>(packed_x<AmxProject>(job, 0, n) + i));
      }
      Prefetcher ahead = inputs_ahead(job, at, n, kTileInputs);
      for (std::int64_t column = at.begin; column < at.end; column += 32) {
        ahead.lines(2);
        __m512 sums[2][2] = {{S::zero(), S::zero()}, {S::zero(), S::zero()}};
        for_rows<kTileInputs>(job.w, n, column, [&](int i, __m512i w) {
          const __m512i zero = _mm512_setzero_si512();
          const __m512 low = _mm512_castsi512_ps(_mm512_unpacklo_epi16(zero, w));
          const __m512 high = _mm512_castsi512_ps(_mm512_unpackhi_epi16(zero, w));
          const __m512 value = S::set1(x[i]);
          sums[i % 2][0] = S::fma(value, low, sums[i % 2][0]);
          sums[i % 2][1] = S::fma(value, high, sums[i % 2][1]);
        });
        float* to = at.partial + column;
        for (int half = 0; half < 2; ++half, to += S::kWidth) {
          const __m512 before = n == at.first ? S::zero() : S::load(to);
          S::store(to, S::add(before, S::add(sums[0][half], sums[1][half])));
        }
      }
    }
    _mm_setcsr(control);
  }

  // 32 rows at a time: 32 columns of them are interleaved into one buffer while the tiles of the
  // other are multiplied. Sums rest in memory.
  static constexpr std::int64_t kStreamTokens = kTileRows;
  static void stream(const ProjectJob& job, const RangePlace& at) {
    if (job.x.rows == 1) return stream_one(job, at);
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
        stores_before_tiles();
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
    stores_before_tiles();  // the panel's
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
