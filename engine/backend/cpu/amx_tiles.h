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

// Makes earlier stores to what `data` points into happen before the tile instructions that follow:
// those do not tell the compiler what they read.
inline void stores_before_tiles(const void* data) { __asm__ volatile("" ::"r"(data) : "memory"); }

// While one lives, denormals count as zero, as they always do in tile instructions.
class FlushDenormals {
 public:
  FlushDenormals() : control_(_mm_getcsr()) {
    constexpr unsigned kFlush = 0x8040;
    _mm_setcsr(control_ | kFlush);
  }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;
  ~FlushDenormals() { _mm_setcsr(control_); }

 private:
  unsigned control_;
};

// Registers 0-3 hold sums, 4 and 5 left operands [m][32 inputs], 6 and 7 right operands
// [16 pairs][n].
class TileShapes {
 public:
  TileShapes(int m, int n) {
    const auto width = static_cast<std::uint16_t>(n * 4);
    for (int i = 0; i < 4; ++i) set(i, m, width);
    for (int i = 4; i < 6; ++i) set(i, m, 64);
    for (int i = 6; i < 8; ++i) set(i, kTileRows, width);
    stores_before_tiles(&config_);
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

// Two left by two right tiles, over some steps. A left tile's row r of step s lies at
// left + s * left_step + r * left_stride (bytes), right tiles follow each other step by step.
// Sums are a matrix of 32 x 32 floats.
struct TileQuad {
  const void* left[2];
  std::int64_t left_stride = 0;
  std::int64_t left_step = 0;
  const void* right[2];
  std::int64_t steps = 0;
  const float* from = nullptr;   // null: zero
  std::int64_t from_stride = 0;  // floats
  float* to = nullptr;
  std::int64_t to_stride = 0;
};

// `each_step` runs once a step, among the tile instructions.
template <class EachStep>
void multiply_quad(const TileQuad& q, const EachStep& each_step) {
  if (q.from == nullptr) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  } else {
    const std::int64_t row = q.from_stride * 4;
    const float* lower = q.from + q.from_stride * kTileRows;
    _tile_loadd(0, q.from, row);
    _tile_loadd(1, q.from + kTileRows, row);
    _tile_loadd(2, lower, row);
    _tile_loadd(3, lower + kTileRows, row);
  }
  const auto* left0 = static_cast<const char*>(q.left[0]);
  const auto* left1 = static_cast<const char*>(q.left[1]);
  const auto* right0 = static_cast<const char*>(q.right[0]);
  const auto* right1 = static_cast<const char*>(q.right[1]);
  for (std::int64_t step = 0; step < q.steps; ++step) {
    _tile_loadd(4, left0, q.left_stride);
    _tile_loadd(6, right0, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, right1, 64);
    _tile_dpbf16ps(1, 4, 7);
    each_step();
    _tile_loadd(5, left1, q.left_stride);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
    left0 += q.left_step;
    left1 += q.left_step;
    right0 += kTileBytes;
    right1 += kTileBytes;
  }
  const std::int64_t row = q.to_stride * 4;
  float* lower = q.to + q.to_stride * kTileRows;
  _tile_stored(0, q.to, row);
  _tile_stored(1, q.to + kTileRows, row);
  _tile_stored(2, lower, row);
  _tile_stored(3, lower + kTileRows, row);
}

}  // namespace
}  // namespace dejavu
