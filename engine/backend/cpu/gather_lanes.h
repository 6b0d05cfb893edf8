// What picked rows add to the outputs, lanes along the outputs: the bits of project_lanes.h. L says
// how rows are put side by side and multiplied. Internal linkage: see kernels.h.
#pragma once

#include "engine/backend/cpu/gather_common.h"
#include "engine/backend/cpu/project_lanes.h"

namespace dejavu {
namespace {

// A unit's rows in the order in which they are added, L::kStreamRows at a time. A place that no row
// takes has inputs of zero and another row's address.
template <class X>
struct RowPlaces {
  static constexpr int kPlaces = 2 * kUnitRows;
  const char* rows[kPlaces];
  int source[kPlaces];  // the row's place in the unit; -1: none
  int count = 0;
  X x[kGatherTokens * kPlaces];

  void put(const char* row, int from) {
    rows[count] = row;
    source[count++] = from;
  }
  void take(const X* from, std::int64_t tokens) {
    for (std::int64_t t = 0; t < tokens; ++t) {
      for (int i = 0; i < count; ++i) {
        x[t * kPlaces + i] = source[i] < 0 ? X{0} : from[t * kUnitRows + source[i]];
      }
    }
  }
};

template <class L>
struct LaneGather {
  using S = typename L::S;
  using V = typename S::V;
  using X = typename L::X;
  static constexpr DType kX = L::kX;
  using Places = RowPlaces<X>;

  static void add(const UnitAdd<X>& unit) {
    const ProjectJob& job = *unit.job;
    const RowList list(job.w, *unit.unit, unit.begin);
    Places places;
    L::arrange(*unit.unit, list, places);
    while (places.count % L::kStreamRows != 0) places.put(list.rows[list.count - 1], -1);
    places.take(unit.x, job.x.rows);
    for (int first = 0; first < places.count; first += L::kStreamRows) {
      const std::int64_t row_bytes = (unit.end - unit.begin) * L::kWeightBytes;
      ListAhead ahead;
      if (first + L::kStreamRows < places.count) {
        ahead = {places.rows + first + L::kStreamRows, L::kStreamRows, row_bytes};
      } else if (unit.next != nullptr) {
        ahead = {unit.next->rows, unit.next->count, row_bytes};
      }
      add_rows(unit, places, first, ahead);
    }
  }

  static void add_rows(const UnitAdd<X>& unit, const Places& places, int first, ListAhead& ahead) {
    constexpr int kSteps = L::kStreamRows / L::kInputs;
    constexpr std::int64_t kStepBytes = 2 * S::kWidth * L::kWeightBytes;
    const ProjectJob& job = *unit.job;
    for (std::int64_t column = unit.begin; column < unit.end; column += 2 * S::kWidth) {
      const std::int64_t offset = (column - unit.begin) * L::kWeightBytes;
      for (std::int64_t line = round_up(offset, 64); line < offset + kStepBytes; line += 64) {
        ahead.fetch();
      }
      typename L::Operand w[kSteps][2];
      L::load_picked(places.rows + first, offset, unit.end - column, w);
      for (std::int64_t t = 0; t < job.x.rows; ++t) {
        const X* x = places.x + t * Places::kPlaces + first;
        float* sums = unit.partial + t * job.partial_stride + column;
        V a = S::load(sums);
        V b = S::load(sums + S::kWidth);
#pragma GCC unroll 8
        for (int i = 0; i < kSteps; ++i) {
          const typename L::Operand value = L::broadcast(x + i * L::kInputs);
          a = L::step(a, value, w[i][0]);
          b = L::step(b, value, w[i][1]);
        }
        S::store(sums, a);
        S::store(sums + S::kWidth, b);
      }
    }
  }

  // Which of 32 inputs of a packed token are not zero.
  static std::uint32_t nonzero(const X* x) { return L::nonzero32(x); }
};

// F32 multiply-adds, row after row.
template <class Simd, DType W>
struct FmaPicked : FmaLanes<Simd, W> {
  using Base = FmaLanes<Simd, W>;
  using S = Simd;
  using typename Base::Operand;

  static void arrange(const UnitIds& unit, const RowList& list, RowPlaces<float>& places) {
    for (int i = 0; i < unit.count; ++i) places.put(list.rows[i], i);
  }
  static void load_picked(const char* const* rows, std::int64_t offset, std::int64_t left,
                          Operand (&to)[Base::kStreamRows][2]) {
#pragma GCC unroll 8
    for (int i = 0; i < Base::kStreamRows; ++i) {
      const char* row = rows[i] + offset;
      if (left >= 2 * S::kWidth) {
        to[i][0] = S::template load_as<W>(row);
        to[i][1] = S::template load_as<W>(row + S::kWidth * Base::kWeightBytes);
      } else {
        to[i][0] = S::template load_as<W>(row, Base::lanes(left));
        to[i][1] = S::template load_as<W>(row + S::kWidth * Base::kWeightBytes,
                                          Base::lanes(left - S::kWidth));
      }
    }
  }
  static std::uint32_t nonzero32(const float* x) {
    std::uint32_t bits = 0;
    for (int i = 0; i < 32; i += S::kWidth) bits |= S::nonzero(S::load(x + i)) << i;
    return bits;
  }
};

}  // namespace
}  // namespace dejavu
