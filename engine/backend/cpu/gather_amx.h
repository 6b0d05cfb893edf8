// Picked rows with tiles: the bits of rows_amx.h and project_amx.h. Internal linkage: see
// kernels.h.
#pragma once

#include "engine/backend/cpu/gather_amx_few.h"
#include "engine/backend/cpu/gather_amx_one.h"
#include "engine/backend/cpu/gather_bf16.h"

namespace dejavu {
namespace {

// Sums of picked rows. A tile's rows must lie at equal distances, so rows pass through a scratch in
// L1, some steps at a time. With few tokens two tiles of rows take turns: a step waits for the one
// before it, 50 cycles.
struct AmxGatherRows {
  static constexpr std::int64_t kChunk = 8;
  using Tile = std::uint16_t[kTileRows][kTileInputs];

  // Narrow rows would leave most of a tile of their own empty.
  static bool row_by_row(std::int64_t tokens, std::int64_t in) {
    return tokens == 1 && in >= AmxGatherOne::kBlockInputs;
  }
  static std::size_t packed_bytes(std::int64_t tokens, std::int64_t in) {
    return row_by_row(tokens, in) ? AmxGatherOne::packed_bytes(in)
                                  : AmxRows::packed_bytes(tokens, in);
  }
  static void pack(const RowsJob& job, std::int64_t group) {
    if (row_by_row(job.x.rows, job.x.cols)) return AmxGatherOne::pack(job);
    AmxRows::pack(job, group);
  }

  static void sums(const RowsJob& job, const UnitSums& unit) {
    if (row_by_row(job.x.rows, job.x.cols)) return AmxGatherOne::sums(job, unit);
    const std::int64_t width = AmxRows::width(job.x.rows);
    const TileShapes shapes(kTileRows, static_cast<int>(width));
    const std::int64_t tiles = (job.x.rows + width - 1) / width;
    if (tiles == 1) multiply_rows<2, 1>(job, unit);
    if (tiles == 2) multiply_rows<2, 2>(job, unit);
    if (tiles == 3) multiply_rows<1, 3>(job, unit);
    if (tiles == 4) multiply_rows<1, 4>(job, unit);
  }

  // `Tiles` of rows at a time against N tiles of tokens.
  template <int Tiles, int N>
  static void multiply_rows(const RowsJob& job, const UnitSums& unit) {
    constexpr int kRows = Tiles * kTileRows;
    AmxRows::Block b;
    b.width = AmxRows::width(job.x.rows);
    b.x = static_cast<const std::uint32_t*>(job.packed);
    const RowList& list = *unit.rows;
    for (int first = 0; first < list.count; first += kRows) {
      const int last = list.count - 1;
      const char* rows[kRows];
      for (int r = 0; r < kRows; ++r) rows[r] = list.rows[smaller(first + r, last)];
      ListAhead ahead = unit.ahead(first + kRows, kRows, job.x.cols * 2);
      b.sums = unit.sums + first;
      if (Tiles == 2 && last - first < kTileRows) {
        multiply<1, N>(b, rows, job.x.cols, ahead);
      } else {
        multiply<Tiles, N>(b, rows, job.x.cols, ahead);
      }
    }
  }

  template <int Tiles, int N>
  static void multiply(const AmxRows::Block& b, const char* const* rows, std::int64_t in,
                       ListAhead& ahead) {
    const std::int64_t steps = AmxRows::steps(in);
    const std::int64_t tile_words = kTileRows * b.width;
    const std::int64_t next = steps * tile_words;
    const std::int64_t stride = b.width * 4;
    alignas(64) Tile scratch[Tiles][kChunk];
    _tile_zero(0);
    if constexpr (Tiles * N > 1) _tile_zero(1);
    if constexpr (Tiles * N > 2) _tile_zero(2);
    if constexpr (Tiles * N > 3) _tile_zero(3);
    for (std::int64_t first = 0; first < steps; first += kChunk) {
      const std::int64_t last = smaller(steps, first + kChunk);
      for (int tile = 0; tile < Tiles; ++tile) {
        copy(rows + tile * kTileRows, {first, last, in}, scratch[tile]);
      }
      stores_before_tiles(scratch);
      for (std::int64_t step = first; step < last; ++step) {
        const std::uint32_t* x = b.x + step * tile_words;
        ahead.fetch();
        _tile_loadd(4, scratch[0][step - first], 64);
        _tile_loadd(6, x, stride);
        _tile_dpbf16ps(0, 4, 6);
        if constexpr (N > 1) {
          _tile_loadd(7, x + next, stride);
          _tile_dpbf16ps(1, 4, 7);
        }
        if constexpr (Tiles > 1) {
          _tile_loadd(5, scratch[Tiles - 1][step - first], 64);
          if constexpr (N == 1) {
            _tile_dpbf16ps(1, 5, 6);
          } else {
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
          }
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
    alignas(64) float sums[Tiles * N][kTileRows * kTileRows];
    const std::int64_t out = b.width == 1 ? 4 : 64;
    _tile_stored(0, sums[0], out);
    if constexpr (Tiles * N > 1) _tile_stored(1, sums[1], out);
    if constexpr (Tiles * N > 2) _tile_stored(2, sums[2], out);
    if constexpr (Tiles * N > 3) _tile_stored(3, sums[3], out);
    for (int tile = 0; tile < Tiles; ++tile) {
      AmxRows::Block to = b;
      to.sums += tile * kTileRows;
      for (int n = 0; n < N; ++n) put(sums[tile * N + n], to, n);
    }
  }

  static void put(const float* sums, const AmxRows::Block& to, int tokens) {
    if (to.width > 1) return AmxRows::turn(sums, to, tokens);
    Avx512::store(to.sums, Avx512::load(sums));  // already in order
  }

  // Steps [first, last) of rows of `in` inputs.
  struct Steps {
    std::int64_t first;
    std::int64_t last;
    std::int64_t in;
  };
  // 16 rows, each in address order, as tiles; padded with zeros.
  static void copy(const char* const* rows, const Steps& steps, Tile* to) {
    const std::int64_t whole = smaller(steps.last, steps.in / kTileInputs);
    for (int r = 0; r < kTileRows; ++r) {
      const char* row = rows[r] + steps.first * kTileInputs * 2;
      std::uint16_t* out = to[0][r];
      for (std::int64_t step = steps.first; step < whole; ++step) {
        _mm512_store_si512(out, _mm512_loadu_si512(row));
        row += kTileInputs * 2;
        out += kTileRows * kTileInputs;
      }
      if (whole == steps.last) continue;
      const auto mask = static_cast<__mmask32>((1U << steps.in % kTileInputs) - 1U);
      _mm512_store_si512(out, _mm512_maskz_loadu_epi16(mask, row));
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
    switch (unit.job->x.rows) {
      case 1:
        return AmxGatherOne::add(unit);
      case 2:
        return AmxGatherFew<2>::add(unit);
      case 3:
        return AmxGatherFew<3>::add(unit);
      case 4:
        return AmxGatherFew<4>::add(unit);
      default:
        return add_tiles(unit);
    }
  }

  static void add_tiles(const Add& unit) {
    const auto rows = static_cast<int>(smaller(kTileRows, unit.job->x.rows));
    const TileShapes shapes(rows, kTileRows);
    const UnitIds& ids = *unit.unit;
    const RowList list(unit.job->w, ids, unit.begin);
    Block block{&ids, &list, 0, 0};
    ListAhead ahead = unit.ahead();
    for (; block.first < ids.count; block.first = block.last) {
      block.last = end_of_block(ids, block.first);
      add_block(unit, block, ahead);
    }
  }

  static void add_block(const Add& unit, const Block& block, ListAhead& ahead) {
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
      ahead.fetch();
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
