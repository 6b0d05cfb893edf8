// Panels of BF16 weights for VDPBF16PS and TDPBF16PS: inputs 2i and 2i+1 of a column lie side by
// side. A row of the panel, [kColumnPanel] such pairs, is four vectors; PanelLayout says where. The
// interleave works within 128-bit lanes, so the columns of each group of 32 come out of order;
// order() puts the finished sums right. AVX-512 only; internal linkage: see kernels.h.
#pragma once

#include "engine/backend/cpu/project_common.h"
#include "engine/backend/cpu/simd_avx512.h"

namespace dejavu {
namespace {

// Which of 32 inputs are not zero.
inline std::uint32_t nonzero_bf16(const std::uint16_t* x) {
  return _mm512_test_epi16_mask(_mm512_loadu_si512(x), _mm512_set1_epi16(0x7fff));
}

// Where vector v of row r of a panel lies: r * kRow + v * kVector.
struct RowsTogether {
  static constexpr std::int64_t kRow = kColumnPanel;
  static constexpr std::int64_t kVector = 16;
};
struct TilesTogether {  // 16 rows of one vector are a tile of 1 KB
  static constexpr std::int64_t kRow = 16;
  static constexpr std::int64_t kVector = kManyInputs / 2 * 16;
};

template <class PanelLayout>
struct Bf16Panel {
  using S = Avx512;
  using X = std::uint16_t;
  using Panel = std::uint32_t;
  static constexpr DType kX = DType::kBF16;
  static constexpr std::int64_t kInputs = 2;
  static constexpr std::int64_t kStepInputs = 32;
  static constexpr std::int64_t kWeightBytes = 2;

  static __m512i columns(const std::uint16_t* row, std::int64_t left) {
    if (left >= 32) return _mm512_loadu_si512(row);
    const auto mask = static_cast<__mmask32>(left <= 0 ? 0U : (1U << left) - 1U);
    return _mm512_maskz_loadu_epi16(mask, row);
  }

  // 32 columns of `Rows` rows from (n, column) on, row by row; zeros past the last row and column.
  template <int Rows, class Visit>
  static void for_rows(const ConstMatrix& w, std::int64_t n, std::int64_t column,
                       const Visit& visit) {
    const auto* row = static_cast<const std::uint16_t*>(w.data) + n * w.stride + column;
    const std::int64_t left = w.cols - column;
    if (left >= 32 && n + Rows <= w.rows) {
#pragma GCC unroll 32
      for (int i = 0; i < Rows; ++i) visit(i, _mm512_loadu_si512(row + i * w.stride));
    } else {
      for (int i = 0; i < Rows; ++i) {
        visit(i, columns(row + i * w.stride, n + i < w.rows ? left : 0));
      }
    }
  }

  template <class Ahead>
  static void pack(const ConstMatrix& w, const PanelPlace& at, Panel* panel, const Ahead& ahead) {
    const std::int64_t padded = round_up(at.count, kStepInputs);
    const auto* row = static_cast<const std::uint16_t*>(w.data) + at.begin * w.stride + at.column;
    for (std::int64_t n = 0; n < padded; n += kInputs) {
      ahead();
      for (std::int64_t c = 0; c < kColumnPanel; c += 32) {
        Panel* to = panel + c / 16 * PanelLayout::kVector;
        const std::int64_t left = at.columns - c;
        const __m512i even = columns(row + c, n < at.count ? left : 0);
        const __m512i odd = columns(row + c + w.stride, n + 1 < at.count ? left : 0);
        _mm512_store_si512(to, _mm512_unpacklo_epi16(even, odd));
        _mm512_store_si512(to + PanelLayout::kVector, _mm512_unpackhi_epi16(even, odd));
      }
      row += kInputs * w.stride;
      panel += PanelLayout::kRow;
    }
  }

  // Two vectors of sums as packed become columns 0..15 and 16..31.
  static void order(__m512& a, __m512& b) {
    const __m512 low = _mm512_shuffle_f32x4(a, b, 0x44);
    const __m512 high = _mm512_shuffle_f32x4(a, b, 0xee);
    a = _mm512_shuffle_f32x4(low, low, 0xd8);
    b = _mm512_shuffle_f32x4(high, high, 0xd8);
  }
};

}  // namespace
}  // namespace dejavu
