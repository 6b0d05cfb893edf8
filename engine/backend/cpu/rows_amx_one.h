// y = x W^T with tiles, for one token and rows without gaps between them, read in address order
// (see one_stream.h). Sixteen steps of a row are the left operand and the same sixteen steps of x
// the right one; of their products only the diagonal counts. A step's sum starts at zero, so adding
// the steps up in order gives AmxRows' bits. Internal linkage: see kernels.h.
#pragma once

#include "engine/backend/cpu/one_stream.h"
#include "engine/backend/cpu/rows_amx.h"

namespace dejavu {
namespace {

struct AmxRowsOne {
  static constexpr std::int64_t kBlockInputs = kTileRows * kTileInputs;
  static constexpr std::int64_t kAhead = 3072;  // bytes; 1024 and 3072 are slower

  static bool fits(const RowsJob& job) {
    return job.x.rows == 1 && job.gate.data == nullptr && gapless(job.w) &&
           job.w.cols % kBlockInputs == 0;
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

  // The products of a block are added up while the next one is fetched.
  static void multiply_rows(const RowsJob& job, std::int64_t row, std::int64_t count, float* sums) {
    const FlushDenormals flush;
    StreamPage<kTileBytes> page;
    const float* products = nullptr;
    float* sum = nullptr;
    const auto* weights = static_cast<const std::uint16_t*>(at(job.w, row, 0));
    for (std::int64_t r = 0; r < count; ++r) {
      sums[r] = 0;
      const auto* x = static_cast<const char*>(job.packed);
      for (std::int64_t k = 0; k < job.w.cols; k += kBlockInputs) {
        fetch(weights);
        const float* next = multiply(weights, x, static_cast<float*>(page.beside(weights)));
        if (products != nullptr) add(products, *sum);
        products = next;
        sum = &sums[r];
        weights += kBlockInputs;
        x += kTileBytes;
      }
    }
    add(products, *sum);
  }

  static void run(const RowsJob& job, std::int64_t begin, std::int64_t end) {
    const TileShapes shapes(kTileRows, kTileRows);
    alignas(64) float sums[kFinishRows];
    for (std::int64_t row = begin; row < end; row += kFinishRows) {
      const std::int64_t count = smaller(kFinishRows, end - row);
      multiply_rows(job, row, count, sums);
      finish<Avx512>(job, {0, row, count, sums, nullptr});
    }
  }
};

}  // namespace
}  // namespace dejavu
