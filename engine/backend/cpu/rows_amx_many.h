// y = x W^T with tiles, for many tokens: 32 tokens at a time pass over a block of rows of w that
// stays in L2 like x, in stretches of kStretch steps so that their x stays in L1; sums rest in
// memory between two stretches, which changes no bit. Meanwhile the next block of w is fetched.
// Internal linkage: see kernels.h.
#pragma once

#include "engine/backend/cpu/rows_amx.h"

namespace dejavu {
namespace {

struct AmxRowsMany {
  static constexpr std::int64_t kStretch = 16;    // steps: 32 KB of x
  static constexpr std::int64_t kBlockRows = 64;  // of w
  static constexpr std::int64_t kPair = 2 * kTileRows;

  // A block of rows for two token tiles.
  struct Block {
    const ConstMatrix* w = nullptr;
    std::int64_t row = 0;
    std::int64_t rows = 0;
    const char* x[2];       // packed token tiles
    float* sums = nullptr;  // [kBlockRows][kPair]
  };

  // Steps [begin, end) for the kPair rows at `row`.
  static void multiply_pair(const Block& b, std::int64_t row, std::int64_t begin, std::int64_t end,
                            Prefetcher& ahead) {
    const ConstMatrix& w = *b.w;
    const std::int64_t rows = b.row + b.rows - row;
    const std::int64_t whole = rows >= kPair ? smaller(end, w.cols / kTileInputs) : begin;
    TileQuad quad;
    quad.to = b.sums + (row - b.row) * kPair;
    quad.from = begin == 0 ? nullptr : quad.to;
    quad.from_stride = kPair;
    quad.to_stride = kPair;
    if (begin < whole) {
      quad.left[0] = at(w, row, begin * kTileInputs);
      quad.left[1] = at(w, row + kTileRows, begin * kTileInputs);
      quad.left_stride = w.stride * 2;
      quad.left_step = kTileInputs * 2;
      quad.right[0] = b.x[0] + begin * kTileBytes;
      quad.right[1] = b.x[1] + begin * kTileBytes;
      quad.steps = whole - begin;
      multiply_quad(quad, [&] { ahead.lines(4); });
      quad.from = quad.to;
    }
    alignas(64) std::uint16_t staged[kPair][kTileInputs];
    for (std::int64_t step = larger(begin, whole); step < end; ++step) {  // at the edges of w
      const auto* from = static_cast<const std::uint16_t*>(at(w, row, step * kTileInputs));
      const std::int64_t inputs = smaller(kTileInputs, w.cols - step * kTileInputs);
      AmxRows::stage(from, w.stride, rows, inputs, staged);
      AmxRows::stage(from + kTileRows * w.stride, w.stride, rows - kTileRows, inputs,
                     staged + kTileRows);
      stores_before_tiles(staged);
      quad.left[0] = staged[0];
      quad.left[1] = staged[kTileRows];
      quad.left_stride = sizeof staged[0];
      quad.right[0] = b.x[0] + step * kTileBytes;
      quad.right[1] = b.x[1] + step * kTileBytes;
      quad.steps = 1;
      multiply_quad(quad, [] {});
      quad.from = quad.to;
    }
  }

  // Sums of the block, as [token][kBlockRows] in `out`.
  static void multiply(const Block& b, Prefetcher& ahead, float* out) {
    const std::int64_t steps = AmxRows::steps(b.w->cols);
    for (std::int64_t begin = 0; begin < steps; begin += kStretch) {
      const std::int64_t end = smaller(steps, begin + kStretch);
      for (std::int64_t row = 0; row < b.rows; row += kPair) {
        multiply_pair(b, b.row + row, begin, end, ahead);
      }
    }
    for (std::int64_t row = 0; row < b.rows; row += kTileRows) {
      for (std::int64_t token = 0; token < kPair; token += kTileRows) {
        __m512 lines[kTileRows];
        for (int i = 0; i < kTileRows; ++i) {
          lines[i] = Avx512::load(b.sums + (row + i) * kPair + token);
        }
        Avx512::transpose(lines);
        for (int t = 0; t < kTileRows; ++t) {
          Avx512::store(out + (token + t) * kBlockRows + row, lines[t]);
        }
      }
    }
  }

  static Prefetcher next_block(const ConstMatrix& w, std::int64_t row) {
    return {w, {row + kBlockRows, kBlockRows, 0, w.cols}, Prefetcher::Fetch::kWhole};
  }

  static void run(const RowsJob& job, std::int64_t begin, std::int64_t end) {
    const TileShapes shapes(kTileRows, kTileRows);
    const std::int64_t tile_bytes = AmxRows::steps(job.x.cols) * kTileBytes;
    const bool gated = job.gate.data != nullptr;
    alignas(64) float tiles[kBlockRows * kPair];
    alignas(64) float sums[kPair * kBlockRows];
    alignas(64) float gate_sums[kPair * kBlockRows];
    Block b;
    b.sums = tiles;
    for (b.row = begin; b.row < end; b.row += kBlockRows) {
      b.rows = smaller(kBlockRows, end - b.row);
      Prefetcher ahead = next_block(job.w, b.row);
      Prefetcher gate_ahead = next_block(job.gate, b.row);
      for (std::int64_t token = 0; token < job.x.rows; token += kPair) {
        b.x[0] = static_cast<const char*>(job.packed) + token / kPackTokens * tile_bytes;
        // An odd last tile is multiplied twice and used once.
        b.x[1] = token + kPackTokens < job.x.rows ? b.x[0] + tile_bytes : b.x[0];
        b.w = &job.w;
        multiply(b, ahead, sums);
        if (gated) {
          b.w = &job.gate;
          multiply(b, gate_ahead, gate_sums);
        }
        for (std::int64_t t = 0; t < smaller(kPair, job.x.rows - token); ++t) {
          finish<Avx512>(job, {token + t, b.row, b.rows, sums + t * kBlockRows,
                               gated ? gate_sums + t * kBlockRows : nullptr});
        }
      }
    }
  }
};

}  // namespace
}  // namespace dejavu
