// Picked rows with tiles: the bits of rows_amx.h and project_amx.h. Internal linkage: see
// kernels.h.
#pragma once

#include "engine/backend/cpu/gather_amx_one.h"
#include "engine/backend/cpu/gather_bf16.h"

namespace dejavu {
namespace {

// Sums of picked rows. A tile's rows must lie at equal distances, so 16 rows pass through a scratch
// in L1, some steps at a time.
struct AmxGatherRows {
  static constexpr std::int64_t kChunk = 8;
  struct alignas(64) Scratch {
    std::uint16_t tile[kChunk][kTileRows][kTileInputs];
  };

  static std::size_t packed_bytes(std::int64_t tokens, std::int64_t in) {
    return tokens == 1 ? AmxGatherOne::packed_bytes(in) : AmxRows::packed_bytes(tokens, in);
  }
  static void pack(const RowsJob& job, std::int64_t group) {
    if (job.x.rows == 1) return AmxGatherOne::pack(job);
    AmxRows::pack(job, group);
  }

  static void sums(const RowsJob& job, const UnitSums& unit) {
    if (job.x.rows == 1) return AmxGatherOne::sums(job, unit);
    AmxRows::Block b;
    b.width = AmxRows::width(job.x.rows);
    b.x = static_cast<const std::uint32_t*>(job.packed);
    const TileShapes shapes(kTileRows, static_cast<int>(b.width));
    const std::int64_t tiles = (job.x.rows + b.width - 1) / b.width;
    const RowList& list = *unit.rows;
    for (int first = 0; first < list.count; first += kTileRows) {
      const int some = static_cast<int>(smaller(kTileRows, list.count - first));
      const char* rows[kTileRows];
      for (int r = 0; r < kTileRows; ++r) rows[r] = list.rows[first + smaller(r, some - 1)];
      ListAhead ahead(list.rows + first, some, job.x.cols * 2);
      if (first + kTileRows < list.count) {
        ahead.then(list.rows + first + kTileRows,
                   static_cast<int>(smaller(kTileRows, list.count - first - kTileRows)));
      } else if (unit.next != nullptr) {
        ahead.then(unit.next->rows, static_cast<int>(smaller(kTileRows, unit.next->count)));
      }
      b.sums = unit.sums + first;
      if (tiles == 1) multiply<1>(b, rows, job.x.cols, ahead);
      if (tiles == 2) multiply<2>(b, rows, job.x.cols, ahead);
      if (tiles == 3) multiply<3>(b, rows, job.x.cols, ahead);
      if (tiles == 4) multiply<4>(b, rows, job.x.cols, ahead);
    }
  }

  template <int N>
  static void multiply(const AmxRows::Block& b, const char* const* rows, std::int64_t in,
                       const ListAhead& ahead) {
    const std::int64_t steps = AmxRows::steps(in);
    const std::int64_t tile_words = kTileRows * b.width;
    const std::int64_t next = steps * tile_words;
    const std::int64_t stride = b.width * 4;
    Scratch scratch;
    _tile_zero(0);
    if constexpr (N > 1) _tile_zero(1);
    if constexpr (N > 2) _tile_zero(2);
    if constexpr (N > 3) _tile_zero(3);
    for (std::int64_t first = 0; first < steps; first += kChunk) {
      const std::int64_t last = smaller(steps, first + kChunk);
      for (std::int64_t step = first; step < last; ++step) {
        copy(rows, step, in, scratch.tile[step - first]);
        ahead.fetch(step * kTileInputs * 2);
      }
      stores_before_tiles(&scratch);
      for (std::int64_t step = first; step < last; ++step) {
        const std::uint32_t* x = b.x + step * tile_words;
        _tile_loadd(4, scratch.tile[step - first], 64);
        _tile_loadd(6, x, stride);
        _tile_dpbf16ps(0, 4, 6);
        if constexpr (N > 1) {
          _tile_loadd(7, x + next, stride);
          _tile_dpbf16ps(1, 4, 7);
        }
        if constexpr (N > 2) {
          _tile_loadd(6, x + 2 * next, stride);
          _tile_dpbf16ps(2, 4, 6);
        }
        if constexpr (N > 3) {
          _tile_loadd(7, x + 3 * next, stride);
          _tile_dpbf16ps(3, 4, 7);
        }
      }
    }
    if (b.width == 1) {  // already in order
      _tile_stored(0, b.sums, 4);
      return;
    }
    alignas(64) float tile[kTileRows * kTileRows];
    _tile_stored(0, tile, 64);
    AmxRows::turn(tile, b, 0);
    if constexpr (N > 1) {
      _tile_stored(1, tile, 64);
      AmxRows::turn(tile, b, 1);
    }
    if constexpr (N > 2) {
      _tile_stored(2, tile, 64);
      AmxRows::turn(tile, b, 2);
    }
    if constexpr (N > 3) {
      _tile_stored(3, tile, 64);
      AmxRows::turn(tile, b, 3);
    }
  }

  // One step's inputs of 16 rows, padded with zeros.
  static void copy(const char* const* rows, std::int64_t step, std::int64_t in,
                   std::uint16_t (*to)[kTileInputs]) {
    const std::int64_t inputs = in - step * kTileInputs;
    const auto mask = static_cast<__mmask32>(inputs >= 32 ? ~0U : (1U << inputs) - 1U);
    for (int r = 0; r < kTileRows; ++r) {
      const char* from = rows[r] + step * kTileInputs * 2;
      _mm512_store_si512(to[r], _mm512_maskz_loadu_epi16(mask, from));
    }
  }
};

// What picked rows add. A tile step adds the even and the odd inputs of a block of 32 up apart,
// each from zero in order, and then both to the sum; inputs of zero change nothing.
struct AmxGather {
  using S = Avx512;
  using X = std::uint16_t;
  static constexpr DType kX = DType::kBF16;
  using Add = UnitAdd<X>;

  // A block's rows.
  struct Block {
    const UnitIds* unit;
    const RowList* list;
    int first;
    int last;
  };

  static void add(const Add& unit) {
    if (unit.job->x.rows == 1) return AmxGatherOne::add(unit);
    const auto rows = static_cast<int>(smaller(kTileRows, unit.job->x.rows));
    const TileShapes shapes(rows, kTileRows);
    const UnitIds& ids = *unit.unit;
    const RowList list(unit.job->w, ids, unit.begin);
    Block block{&ids, &list, 0, 0};
    for (; block.first < ids.count; block.first = block.last) {
      block.last = Pieces::end_of_block(ids, block.first);
      ListAhead ahead(list.rows + block.first, block.last - block.first,
                      (unit.end - unit.begin) * 2);
      if (block.last < ids.count) {
        ahead.then(list.rows + block.last, Pieces::end_of_block(ids, block.last) - block.last);
      } else if (unit.next != nullptr) {
        ahead.then(unit.next->rows, static_cast<int>(smaller(kTileRows, unit.next->count)));
      }
      add_block(unit, block, ahead);
    }
  }

  static void add_block(const Add& unit, const Block& block, const ListAhead& ahead) {
    const ProjectJob& job = *unit.job;
    const char* rows[kTileInputs] = {};
    alignas(64) X x[kGatherTokens][kTileInputs] = {};
    alignas(64) AmxProject::Panel pairs[kTileRows * 32];
    for (int i = block.first; i < block.last; ++i) {
      const std::int32_t place = block.unit->ids[i] % kTileInputs;
      rows[place] = block.list->rows[i];
      for (std::int64_t t = 0; t < job.x.rows; ++t) x[t][place] = unit.x[t * kUnitRows + i];
    }
    stores_before_tiles(x);
    const std::int64_t stride = job.partial_stride * 4;
    for (std::int64_t column = unit.begin; column < unit.end; column += 32) {
      const std::int64_t offset = (column - unit.begin) * 2;
      ahead.fetch(offset);
      interleave(rows, offset, unit.end - column, pairs);
      stores_before_tiles(pairs);
      _tile_loadd(6, pairs, 128);
      _tile_loadd(7, pairs + 16, 128);
      for (std::int64_t t = 0; t < job.x.rows; t += kTileRows) {
        float* sums = unit.partial + t * job.partial_stride + column;
        _tile_loadd(4, x[t], 64);
        _tile_loadd(0, sums, stride);
        _tile_loadd(1, sums + 16, stride);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_stored(0, sums, stride);
        _tile_stored(1, sums + 16, stride);
      }
    }
  }

  static void interleave(const char* const* rows, std::int64_t offset, std::int64_t left,
                         AmxProject::Panel* to) {
    const auto columns = [&](int i) {
      return rows[i] == nullptr
                 ? _mm512_setzero_si512()
                 : AmxProject::columns(reinterpret_cast<const X*>(rows[i] + offset), left);
    };
    for (int i = 0; i < kTileInputs; i += 2) {
      const __m512i even = columns(i);
      const __m512i odd = columns(i + 1);
      _mm512_store_si512(to + i / 2 * 32, _mm512_unpacklo_epi16(even, odd));
      _mm512_store_si512(to + i / 2 * 32 + 16, _mm512_unpackhi_epi16(even, odd));
    }
  }

  static std::uint32_t nonzero(const X* x) { return nonzero_bf16(x); }
};

}  // namespace
}  // namespace dejavu
