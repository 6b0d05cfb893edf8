// y = x W with tiles: up to 16 tokens by 32 inputs of x, read where they lie packed, are the left
// operand, the panel of w is the right one. Internal linkage: see kernels.h.
#pragma once

#include "engine/backend/cpu/amx_tiles.h"
#include "engine/backend/cpu/bf16_panel.h"

namespace dejavu {
namespace {

struct AmxProject : Bf16Panel {
  using Tile = PanelTile<AmxProject>;

  // 32 rows at a time: 32 columns of them are interleaved into one buffer while the tiles of the
  // other are multiplied. Sums rest in memory.
  static constexpr std::int64_t kStreamTokens = kTileRows;
  static void stream(const ProjectJob& job, const RangePlace& at) {
    alignas(64) Panel pairs[2][kTileRows * 32];
    const TileShapes shapes(static_cast<int>(job.x.rows), kTileRows);
    const std::int64_t sums_stride = partial_stride(job) * 4;
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
    const auto* row = static_cast<const std::uint16_t*>(w.data) + n * w.stride + column;
    const std::int64_t left = w.cols - column;
#pragma GCC unroll 4
    for (std::int64_t i = 0; i < kTileInputs; i += 2) {
      const __m512i even = columns(row, n + i < w.rows ? left : 0);
      const __m512i odd = columns(row + w.stride, n + i + 1 < w.rows ? left : 0);
      _mm512_store_si512(to, _mm512_unpacklo_epi16(even, odd));
      _mm512_store_si512(to + 16, _mm512_unpackhi_epi16(even, odd));
      row += 2 * w.stride;
      to += 32;
    }
  }

  // One token tile (m tokens) by the panel's 64 columns.
  static void multiply_tile(const Tile& tile, std::int64_t token, std::int64_t m) {
    const std::int64_t stride = tile.stride * 4;
    const std::int64_t place = token * tile.stride;
    if (tile.from == nullptr) {
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
    } else {
      const float* from = tile.from + place;
      _tile_loadd(0, from, stride);
      _tile_loadd(1, from + 16, stride);
      _tile_loadd(2, from + 32, stride);
      _tile_loadd(3, from + 48, stride);
    }
    const X* x = tile.x + token * tile.x_stride;
    const Panel* panel = tile.panel;
    for (std::int64_t pair = 0; pair < tile.steps; pair += kTileRows) {
      _tile_loadd(4, x, tile.x_stride * 2);
      _tile_loadd(6, panel, kColumnPanel * 4);
      _tile_dpbf16ps(0, 4, 6);
      _tile_loadd(7, panel + 16, kColumnPanel * 4);
      _tile_dpbf16ps(1, 4, 7);
      _tile_loadd(6, panel + 32, kColumnPanel * 4);
      _tile_dpbf16ps(2, 4, 6);
      _tile_loadd(7, panel + 48, kColumnPanel * 4);
      _tile_dpbf16ps(3, 4, 7);
      x += kTileInputs;
      panel += kTileRows * kColumnPanel;
    }
    if (tile.add == nullptr) {
      store(tile.to + place, stride);
      return;
    }
    alignas(64) float sums[kTileRows * kColumnPanel];
    store(sums, kColumnPanel * 4);
    for (std::int64_t t = 0; t < m; ++t) {
      for (std::int64_t c = 0; c < kColumnPanel; c += S::kWidth) {
        const std::int64_t at = place + t * tile.stride + c;
        S::store(tile.to + at,
                 S::add(S::load(tile.add + at), S::load(sums + t * kColumnPanel + c)));
      }
    }
  }

  static void store(float* to, std::int64_t stride) {
    _tile_stored(0, to, stride);
    _tile_stored(1, to + 16, stride);
    _tile_stored(2, to + 32, stride);
    _tile_stored(3, to + 48, stride);
  }

  static void multiply(const Tile& tile) {
    // The panel was just stored.
    stores_before_tiles();
    const std::int64_t m = smaller(tile.tokens, kTileRows);
    const TileShapes shapes(static_cast<int>(m), kTileRows);
    for (std::int64_t token = 0; token < tile.tokens; token += m) multiply_tile(tile, token, m);
  }
};

}  // namespace
}  // namespace dejavu
