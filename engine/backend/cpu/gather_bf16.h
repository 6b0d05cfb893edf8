// Picked rows for VDPBF16PS, which adds two inputs in one step: a row keeps its place in its pair.
// Internal linkage: see kernels.h.
#pragma once

#include "engine/backend/cpu/bf16_panel.h"
#include "engine/backend/cpu/gather_lanes.h"

namespace dejavu {
namespace {

template <class Lanes>
struct Bf16Picked : Lanes {
  using typename Lanes::Operand;

  static void arrange(const UnitIds& unit, const RowList& list, RowPlaces<std::uint16_t>& places) {
    for (int i = 0; i < unit.count; ++i) {
      const char* row = list.rows[i];
      const bool odd = unit.ids[i] % 2 != 0;
      places.put(row, odd ? -1 : i);
      const bool both = !odd && i + 1 < unit.count && unit.ids[i + 1] == unit.ids[i] + 1;
      if (both) ++i;
      places.put(list.rows[i], odd || both ? i : -1);
    }
  }
  static void load_picked(const char* const* rows, std::int64_t offset, std::int64_t left,
                          Operand (&to)[Lanes::kStreamRows / 2][2]) {
    const auto columns = [&](int i) {
      return Lanes::columns(reinterpret_cast<const std::uint16_t*>(rows[i] + offset), left);
    };
#pragma GCC unroll 8
    for (int i = 0; i < Lanes::kStreamRows; i += 2) {
      const __m512i even = columns(i);
      const __m512i odd = columns(i + 1);
      to[i / 2][0] = reinterpret_cast<Operand>(_mm512_unpacklo_epi16(even, odd));
      to[i / 2][1] = reinterpret_cast<Operand>(_mm512_unpackhi_epi16(even, odd));
    }
  }
  static std::uint32_t nonzero32(const std::uint16_t* x) { return nonzero_bf16(x); }
};

}  // namespace
}  // namespace dejavu
