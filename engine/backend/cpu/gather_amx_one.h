// Picked rows and one token: each row is read in address order. Sixteen steps of a row are the left
// operand of a tile product and the same sixteen steps of x the right one; of the products only the
// diagonal counts. A step's product starts at zero, so adding the steps up in order gives the bits
// of rows_amx.h. Internal linkage: see kernels.h.
#pragma once

#include "engine/backend/cpu/gather_pieces.h"
#include "engine/backend/cpu/project_amx.h"
#include "engine/backend/cpu/rows_amx.h"

namespace dejavu {
namespace {

struct AmxGatherOne {
  using X = std::uint16_t;
  static constexpr std::int64_t kBlockInputs = kTileRows * kTileInputs;
  static constexpr std::int64_t kPieceLines = kPieceBytes / 64;

  static std::size_t packed_bytes(std::int64_t in) {
    return static_cast<std::size_t>(round_up(in, kBlockInputs) * 2);
  }

  // [block][16 pairs][16 steps][2]; AmxRows packs [step][16 pairs][2].
  static void pack(const RowsJob& job) {
    AmxRows::pack(job, 0);
    auto* words = static_cast<float*>(job.packed);
    const std::int64_t steps = AmxRows::steps(job.x.cols);
    for (std::int64_t first = 0; first < steps; first += kTileRows) {
      __m512 block[kTileRows];
      for (std::int64_t s = 0; s < kTileRows; ++s) {
        const bool inside = first + s < steps;
        block[s] = inside ? _mm512_loadu_ps(words + s * kTileRows) : _mm512_setzero_ps();
      }
      Avx512::transpose(block);
      for (const __m512 pairs : block) {
        _mm512_storeu_ps(words, pairs);
        words += kTileRows;
      }
    }
  }

  static void sums(const RowsJob& job, const UnitSums& unit) {
    const RowList& list = *unit.rows;
    const std::int64_t in = job.x.cols;
    Pieces ahead(in * 2);
    ahead.add_rows(list, kUnitRows);
    if (unit.next != nullptr) ahead.add_rows(*unit.next, kUnitRows);
    ahead.start(unit.cold);
    const TileShapes shapes(kTileRows, kTileRows);
    constexpr unsigned kFlushDenormals = 0x8040;  // as tiles do
    const unsigned control = _mm_getcsr();
    _mm_setcsr(control | kFlushDenormals);
    for (int first = 0; first < list.count; first += kTileRows) {
      const int count = static_cast<int>(smaller(kTileRows, list.count - first));
      __m512 totals = _mm512_setzero_ps();
      for (std::int64_t k = 0; k < in; k += kStretch) {
        Stretch stretch;
        const std::int64_t inputs = smaller(kStretch, in - k);
        const auto* x = static_cast<const char*>(job.packed) + k * 2;
        for (int r = 0; r < count; ++r) {
          multiply_row({list.rows[first + r] + k * 2, x, inputs}, ahead, stretch.products[r]);
        }
        add_steps(stretch, AmxRows::steps(inputs), totals);
      }
      _mm512_storeu_ps(unit.sums + first, totals);
    }
    _mm_setcsr(control);
  }

  // Step products of 16 rows.
  static constexpr std::int64_t kStretch = 16 * kBlockInputs;
  struct alignas(64) Stretch {
    float products[kTileRows][kStretch / kTileInputs];
  };
  struct RowPart {
    const char* row;
    const char* x;  // packed
    std::int64_t inputs;
  };

  static void multiply_row(const RowPart& part, Pieces& ahead, float* products) {
    alignas(64) X staged[kTileRows][kTileInputs];
    alignas(4096) char tile[2 * 4096];
    const __m512i diagonal =
        _mm512_mullo_epi32(_mm512_set1_epi32(kTileRows + 1),
                           _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    const char* x = part.x;
    for (std::int64_t k = 0; k < part.inputs; k += kBlockInputs, x += kTileBytes) {
      const std::int64_t inputs = smaller(kBlockInputs, part.inputs - k);
      const char* from = part.row + k * 2;
      const void* block = from;
      if (inputs == kBlockInputs) {
#pragma GCC unroll 4
        for (std::int64_t line = 0; line < kTileRows; line += kPieceLines) {
          fetch_piece(from + line * 64, ahead.next());
        }
      } else {
        for (std::int64_t byte = 0; byte < inputs * 2; byte += kPieceBytes) ahead.next();
        stage(from, inputs, staged);
        block = staged;
      }
      // Not where the row's next lines would seem to wait for what is stored.
      auto* to = reinterpret_cast<float*>(
          tile + ((reinterpret_cast<std::uintptr_t>(from) + 2048) & 0xfc0U));
      stores_before_tiles(block);
      _tile_zero(0);
      _tile_loadd(4, block, 64);
      _tile_loadd(6, x, 64);
      _tile_dpbf16ps(0, 4, 6);
      _tile_stored(0, to, 64);
      stores_before_tiles(to);
      _mm512_storeu_ps(products, _mm512_i32gather_ps(diagonal, to, 4));
      products += kTileRows;
    }
  }

  // Adds the steps of each row in order; a row a lane.
  static void add_steps(const Stretch& stretch, std::int64_t steps, __m512& totals) {
    for (std::int64_t first = 0; first < steps; first += kTileRows) {
      __m512 lanes[kTileRows];
      for (int r = 0; r < kTileRows; ++r) {
        lanes[r] = _mm512_load_ps(stretch.products[r] + first);
      }
      Avx512::transpose(lanes);
      for (std::int64_t s = 0; s < smaller(kTileRows, steps - first); ++s) {
        totals = _mm512_add_ps(totals, lanes[s]);
      }
    }
  }

  // Asks for the lines of `ahead`, one beside each line at `from` that is about to be used.
  static void fetch_piece(const char* from, const char* ahead) {
#pragma GCC unroll 4
    for (std::int64_t i = 0; i < kPieceLines; ++i) {
      _mm_prefetch(ahead + i * 64, kPieceHint);
      __asm__ volatile("" ::"v"(_mm512_loadu_si512(from + i * 64)));
    }
  }

  static void stage(const char* from, std::int64_t inputs, X (*to)[kTileInputs]) {
    for (std::int64_t s = 0; s < kTileRows; ++s) {
      const std::int64_t left = smaller(32, inputs - s * kTileInputs);
      const auto mask = static_cast<__mmask32>(left >= 32 ? ~0U
                                               : left > 0 ? (1U << left) - 1U
                                                          : 0U);
      _mm512_store_si512(to[s], _mm512_maskz_loadu_epi16(mask, from + s * 64));
    }
  }

  // A block's rows, the even inputs first.
  struct BlockRows {
    const char* const* rows;
    const float* x;
    int evens;
    int count;
  };

  // Adds even inputs from zero, odd ones from zero, then both to the sum.
  static void add_block(const UnitAdd<X>& unit, const BlockRows& block, Pieces& ahead) {
    constexpr std::int64_t kColumns = kPieceBytes / 2;
    for (std::int64_t column = unit.begin; column < unit.end; column += kColumns) {
      const std::int64_t left = unit.end - column;
      const std::int64_t offset = (column - unit.begin) * 2;
      const bool whole = left >= kColumns;
      PieceSums even;
      PieceSums odd;
      const auto add_rows = [&](int first, int last, PieceSums& sums) {
        for (int i = first; i < last; ++i) {
          const char* next = ahead.next();
          if (whole) {
            sums.add(block.rows[i] + offset, block.x[i], next);
          } else {
            sums.add_some(block.rows[i] + offset, block.x[i], left);
          }
        }
      };
      add_rows(0, block.evens, even);
      add_rows(block.evens, block.count, odd);
      float* to = unit.partial + column;
#pragma GCC unroll 4
      for (std::int64_t v = 0; v < kPieceLines; ++v) {
        if (v * 32 >= left) break;
        const __m512 a = _mm512_add_ps(even.sums[2 * v], odd.sums[2 * v]);
        const __m512 b = _mm512_add_ps(even.sums[2 * v + 1], odd.sums[2 * v + 1]);
        float* place = to + v * 32;
        _mm512_storeu_ps(place, _mm512_add_ps(_mm512_loadu_ps(place), _mm512_unpacklo_ps(a, b)));
        _mm512_storeu_ps(place + 16,
                         _mm512_add_ps(_mm512_loadu_ps(place + 16), _mm512_unpackhi_ps(a, b)));
      }
    }
  }

  // Of a piece of columns: the even and the odd ones of each 32 apart.
  struct PieceSums {
    __m512 sums[2 * kPieceLines];

    PieceSums() {
#pragma GCC unroll 8
      for (auto& sum : sums) sum = _mm512_setzero_ps();
    }
    void add(const char* from, float x, const char* ahead) {
#pragma GCC unroll 4
      for (std::int64_t v = 0; v < kPieceLines; ++v) {
        _mm_prefetch(ahead + v * 64, kPieceHint);
        add_line(v, x, _mm512_loadu_si512(from + v * 64));
      }
    }
    void add_some(const char* from, float x, std::int64_t left) {
#pragma GCC unroll 4
      for (std::int64_t v = 0; v < kPieceLines; ++v) {
        const auto* columns = reinterpret_cast<const X*>(from + v * 64);
        add_line(v, x, AmxProject::columns(columns, left - v * 32));
      }
    }
    void add_line(std::int64_t v, float x, __m512i w) {
      const __m512i high = _mm512_set1_epi32(static_cast<int>(0xffff0000U));
      const __m512 value = _mm512_set1_ps(x);
      sums[2 * v] =
          _mm512_fmadd_ps(value, _mm512_castsi512_ps(_mm512_slli_epi32(w, 16)), sums[2 * v]);
      sums[2 * v + 1] =
          _mm512_fmadd_ps(value, _mm512_castsi512_ps(_mm512_and_si512(w, high)), sums[2 * v + 1]);
    }
  };

  static void add(const UnitAdd<X>& unit) {
    const UnitIds& ids = *unit.unit;
    RowList list(unit.job->w, ids, unit.begin);
    float x[kUnitRows];
    int evens[kUnitRows];
    // In a block the even inputs come first.
    for (int first = 0; first < ids.count;) {
      const int last = end_of_block(ids, first);
      int place = first;
      for (const int odd : {0, 1}) {
        for (int i = first; i < last; ++i) {
          if (ids.ids[i] % 2 != odd) continue;
          const std::uint32_t bits = static_cast<std::uint32_t>(unit.x[i]) << 16;
          __builtin_memcpy(&x[place], &bits, sizeof bits);
          list.rows[place++] = static_cast<const char*>(at(unit.job->w, ids.ids[i], unit.begin));
        }
        if (odd == 0) evens[first] = place - first;
      }
      first = last;
    }
    Pieces ahead((unit.end - unit.begin) * 2);
    ahead.add_blocks(list, ids);
    if (unit.next != nullptr) ahead.add_rows(*unit.next, kUnitRows);
    ahead.start(unit.cold);
    constexpr unsigned kFlushDenormals = 0x8040;  // as tiles do
    const unsigned control = _mm_getcsr();
    _mm_setcsr(control | kFlushDenormals);
    for (int first = 0; first < ids.count;) {
      const int last = end_of_block(ids, first);
      add_block(unit, {list.rows + first, x + first, evens[first], last - first}, ahead);
      first = last;
    }
    _mm_setcsr(control);
  }
};

}  // namespace
}  // namespace dejavu
