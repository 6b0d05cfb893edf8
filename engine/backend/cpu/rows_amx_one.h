// y = x W^T with tiles, for one token and rows without gaps between them, read in address order
// from two places at once (see one_stream.h). Sixteen steps of a row are the left operand and the
// same sixteen steps of x the right one; of their products only the diagonal counts. A step's sum
// starts at zero, so adding the steps up in order gives AmxRows' bits. Internal linkage: see
// kernels.h.
#pragma once

#include "engine/backend/cpu/one_stream.h"
#include "engine/backend/cpu/rows_amx.h"

namespace dejavu {
namespace {

struct AmxRowsOne {
  static constexpr std::int64_t kBlockInputs = kTileRows * kTileInputs;
  static constexpr std::int64_t kStretch =
      kFinishRows / 2;  // rows of each stream between epilogues

  static bool fits(const RowsJob& job) {
    return job.x.rows == 1 && gapless(job.w) && job.w.cols % kBlockInputs == 0 &&
           (job.gate.data == nullptr || gapless(job.gate));
  }

  static std::size_t packed_bytes(std::int64_t in) {
    return static_cast<std::size_t>(round_up(in, kBlockInputs) * 2);
  }

  // [block][16 pairs][16 steps][2]
  static void pack(const RowsJob& job) {
    auto* out = static_cast<std::uint32_t*>(job.packed);
    for (std::int64_t k = 0; k < job.x.cols; k += kBlockInputs) {
      __m512 steps[kTileRows];
      for (std::int64_t s = 0; s < kTileRows; ++s) {
        steps[s] = AmxRows::step_of(job.x, 0, k + s * kTileInputs);
      }
      Avx512::transpose(steps);
      for (const __m512 pairs : steps) {
        Avx512::store(reinterpret_cast<float*>(out), pairs);
        out += kTileRows;
      }
    }
  }

  static void fetch(const std::uint16_t* weights) {
#pragma GCC unroll 16
    for (std::int64_t s = 0; s < kTileRows; ++s) {
      prefetch_line(weights + s * kTileInputs);
      __asm__ volatile("" ::"v"(_mm512_loadu_si512(weights + s * kTileInputs)));
    }
  }

  static const float* multiply(const std::uint16_t* weights, const void* x, float* products) {
    stores_before_tiles(products);
    _tile_zero(0);
    _tile_loadd(4, weights, 64);
    _tile_loadd(6, x, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_stored(0, products, 64);
    stores_before_tiles(products);
    return products;
  }

  static void add(const float* products, float& sum) {
    float total = sum;
#pragma GCC unroll 16
    for (int s = 0; s < kTileRows; ++s) total += products[s * (kTileRows + 1)];
    sum = total;
  }

  // Rows [first, first + count) and, in turns with them, [second, second + others); sums of the
  // second ones begin at kStretch. `others` is not above `count`.
  struct Streams {
    std::int64_t first = 0;
    std::int64_t count = 0;
    std::int64_t second = 0;
    std::int64_t others = 0;
  };

  // The products of a block are added up while the next one is fetched.
  static void multiply_rows(const RowsJob& job, const ConstMatrix& w, const Streams& rows,
                            float* sums) {
    const FlushDenormals flush;
    // The streams are whole pages apart. The second's products lie one block behind the first's,
    // which are still to be added up.
    static_assert(kStretch * kTileBytes % 4096 == 0);
    StreamPage<kTileBytes> page;
    const float* products = nullptr;
    float* sum = nullptr;
    const auto block = [&](int stream, std::int64_t r, std::int64_t k) {
      const std::int64_t row = (stream == 0 ? rows.first : rows.second) + r;
      const auto* weights = static_cast<const std::uint16_t*>(at(w, row, k));
      fetch(weights);
      const float* next =
          multiply(weights, static_cast<const char*>(job.packed) + k * 2,
                   static_cast<float*>(page.beside(weights - stream * kBlockInputs)));
      if (products != nullptr) add(products, *sum);
      products = next;
      sum = &sums[stream * kStretch + r];
    };
    for (std::int64_t r = 0; r < rows.count; ++r) {
      sums[r] = sums[kStretch + r] = 0;
      for (std::int64_t k = 0; k < w.cols; k += kBlockInputs) {
        block(0, r, k);
        if (r < rows.others) block(1, r, k);
      }
    }
    add(products, *sum);
  }

  static void run(const RowsJob& job, std::int64_t begin, std::int64_t end) {
    const TileShapes shapes(kTileRows, kTileRows);
    const bool gated = job.gate.data != nullptr;
    alignas(64) float sums[kFinishRows];
    alignas(64) float gate_sums[kFinishRows];
    const std::int64_t middle = smaller(end, begin + round_up((end - begin + 1) / 2, kStretch));
    for (std::int64_t row = begin; row < middle; row += kStretch) {
      Streams rows{row, smaller(kStretch, middle - row), row + (middle - begin)};
      rows.others = larger(0, smaller(kStretch, end - rows.second));
      multiply_rows(job, job.w, rows, sums);
      if (gated) multiply_rows(job, job.gate, rows, gate_sums);
      const float* gates = gated ? gate_sums : nullptr;
      finish<Avx512>(job, {0, rows.first, rows.count, sums, gates});
      finish<Avx512>(
          job, {0, rows.second, rows.others, sums + kStretch, gated ? gates + kStretch : nullptr});
    }
  }
};

}  // namespace
}  // namespace dejavu
