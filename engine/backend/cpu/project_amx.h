// y = x W with tiles: up to 16 tokens by 32 inputs of x, read where they lie packed, are the left
// operand, the panel of w is the right one. Internal linkage: see kernels.h.
#pragma once

#include "engine/backend/cpu/amx_tiles.h"
#include "engine/backend/cpu/bf16_panel.h"

namespace dejavu {
namespace {

struct AmxProject : Bf16Panel {
  using Tile = PanelTile<AmxProject>;

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
