// Tile registers: their shapes, and sums of products over several tiles. TDPBF16PS adds, for each
// element and each step of 32 inputs, the even and the odd inputs' products in order; the result of
// an element does not depend on how many rows and columns the tiles have. AMX only; internal
// linkage: see kernels.h.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace dejavu {
namespace {

constexpr int kTileRows = 16;
constexpr int kTileInputs = 32;  // BF16 inputs a step takes
constexpr std::int64_t kTileBytes = 1024;

// Registers 0-3 hold sums, 4 and 5 left operands [m][32 inputs], 6 and 7 right operands
// [16 pairs][n].
class TileShapes {
 public:
  TileShapes(int m, int n) {
    const auto width = static_cast<std::uint16_t>(n * 4);
    for (int i = 0; i < 4; ++i) set(i, m, width);
    for (int i = 4; i < 6; ++i) set(i, m, 64);
    for (int i = 6; i < 8; ++i) set(i, kTileRows, width);
    _tile_loadconfig(&config_);
  }
  TileShapes(const TileShapes&) = delete;
  TileShapes& operator=(const TileShapes&) = delete;
  ~TileShapes() { _tile_release(); }

 private:
  void set(int tile, int rows, std::uint16_t bytes) {
    config_.row_bytes[tile] = bytes;
    config_.rows[tile] = static_cast<std::uint8_t>(rows);
  }

  struct alignas(64) Config {
    std::uint8_t palette = 1;
    std::uint8_t start_row = 0;
    std::uint8_t reserved[14] = {};
    std::uint16_t row_bytes[16] = {};
    std::uint8_t rows[16] = {};
  };
  Config config_;
};

// Makes earlier stores to memory a tile is about to be loaded from really happen before.
inline void stores_before_tiles() { __asm__ volatile("" ::: "memory"); }

}  // namespace
}  // namespace dejavu
