// What picked rows add for two to four tokens: multiply-adds, which need no interleaved copy of the
// rows as tiles do. The bits of project_amx.h: in a block of 32 inputs the even ones are added up
// from zero, the odd ones too, then both to the sum. Internal linkage: see kernels.h.
#pragma once

#include "engine/backend/cpu/gather_common.h"
#include "engine/backend/cpu/project_amx.h"

namespace dejavu {
namespace {

template <int Tokens>
struct AmxGatherFew {
  using X = std::uint16_t;
  static constexpr int kLines = 4 / Tokens;  // of a row at a time: as many sums as registers hold

  // A block's rows, the even inputs first.
  struct BlockRows {
    const char* rows[kSetWord + 1];
    float x[kSetWord + 1][Tokens];
    int evens = 0;
    int count = 0;

    BlockRows(const UnitAdd<X>& unit, const RowList& list, int first, int last) {
      for (const int odd : {0, 1}) {
        for (int i = first; i < last; ++i) {  // without branches that nobody could predict
          for (int t = 0; t < Tokens; ++t) {
            const std::uint32_t bits = std::uint32_t{unit.x[t * kUnitRows + i]} << 16;
            __builtin_memcpy(&x[count][t], &bits, sizeof bits);
          }
          rows[count] = list.rows[i];
          count += unit.unit->ids[i] % 2 == odd ? 1 : 0;
        }
        if (odd == 0) evens = count;
      }
    }
  };

  // Of some lines: the even and the odd columns of each apart.
  struct LineSums {
    __m512 even[Tokens][kLines];
    __m512 odd[Tokens][kLines];

    LineSums() {
#pragma GCC unroll 4
      for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 4
        for (int v = 0; v < kLines; ++v) even[t][v] = odd[t][v] = _mm512_setzero_ps();
      }
    }
    void add(int v, __m512i w, const float* x) {
      const __m512 low = _mm512_castsi512_ps(_mm512_slli_epi32(w, 16));
      const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000U));
      const __m512 high = _mm512_castsi512_ps(_mm512_and_si512(w, upper));
#pragma GCC unroll 4
      for (int t = 0; t < Tokens; ++t) {
        const __m512 value = _mm512_set1_ps(x[t]);
        even[t][v] = _mm512_fmadd_ps(value, low, even[t][v]);
        odd[t][v] = _mm512_fmadd_ps(value, high, odd[t][v]);
      }
    }
  };

  // Lines at byte `offset` of the rows [first, last), of which `left` columns are wanted.
  static void add_rows(const BlockRows& block, int first, int last, std::int64_t offset,
                       std::int64_t left, LineSums& sums) {
    for (int i = first; i < last; ++i) {
      const auto* row = reinterpret_cast<const X*>(block.rows[i] + offset);
#pragma GCC unroll 4
      for (int v = 0; v < kLines; ++v) {
        sums.add(v, AmxProject::columns(row + v * 32, left - v * 32), block.x[i]);
      }
    }
  }

  static void add_block(const UnitAdd<X>& unit, const BlockRows& block, ListAhead& ahead) {
    for (std::int64_t column = unit.begin; column < unit.end; column += kLines * 32) {
      const std::int64_t left = unit.end - column;
      const std::int64_t offset = (column - unit.begin) * 2;
      LineSums even;
      LineSums odd;
      add_rows(block, 0, block.evens, offset, left, even);
      add_rows(block, block.evens, block.count, offset, left, odd);
#pragma GCC unroll 4
      for (int v = 0; v < kLines; ++v) {
        if (v * 32 >= left) break;
        ahead.fetch();
#pragma GCC unroll 4
        for (int t = 0; t < Tokens; ++t) {
          AmxProject::add_columns(_mm512_add_ps(even.even[t][v], odd.even[t][v]),
                                  _mm512_add_ps(even.odd[t][v], odd.odd[t][v]), false,
                                  unit.partial + t * unit.job->partial_stride + column + v * 32);
        }
      }
    }
  }

  static void add(const UnitAdd<X>& unit) {
    const FlushDenormals flush;
    const RowList list(unit.job->w, *unit.unit, unit.begin);
    ListAhead ahead = unit.ahead();
    for (int first = 0; first < list.count;) {
      const int last = end_of_block(*unit.unit, first);
      add_block(unit, BlockRows(unit, list, first, last), ahead);
      first = last;
    }
  }
};

}  // namespace
}  // namespace dejavu
