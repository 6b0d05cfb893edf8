// Sums of picked rows by dot products: the bits of rows_dot.h. Internal linkage: see kernels.h.
#pragma once

#include "engine/backend/cpu/gather_common.h"
#include "engine/backend/cpu/rows_dot.h"

namespace dejavu {
namespace {

template <class D>
struct DotGather {
  using S = typename D::S;

  static std::size_t packed_bytes(std::int64_t tokens, std::int64_t in) {
    return dot_packed_bytes<D>(tokens, in);
  }
  static void pack(const RowsJob& job, std::int64_t group) { dot_pack<D>(job, group); }

  // Fetches a line of each row as dot_tile comes to it.
  class Lines {
   public:
    explicit Lines(ListAhead& ahead) : ahead_(ahead) {}
    void lines(int /*count*/) {
      if (at_ % 64 == 0) ahead_.fetch();
      at_ += D::kStep * D::kWeightBytes;
    }

   private:
    ListAhead& ahead_;
    std::int64_t at_ = 0;
  };

  template <int N = S::kTileTokens>
  static void multiply(int tokens, const RowsJob& job, const UnitSums& unit, DotTile<D> tile) {
    if constexpr (N > 1) {
      if (tokens < N) return multiply<N - 1>(tokens, job, unit, tile);
    }
    constexpr int kRows = N == 1 ? 8 : 4;
    const RowList& list = *unit.rows;
    for (int r = 0; r < list.count; r += kRows) {
      const int some = static_cast<int>(smaller(kRows, list.count - r));
      for (int i = 0; i < kRows; ++i) tile.w[i] = list.rows[r + smaller(i, some - 1)];
      ListAhead ahead = unit.ahead(r + kRows, kRows, job.x.cols * D::kWeightBytes);
      Lines lines(ahead);
      dot_tile<D, kRows, N>(tile, lines);
      tile.sums += kRows;
    }
  }

  static void sums(const RowsJob& job, const UnitSums& unit) {
    DotTile<D> tile;
    tile.x_stride = packed_stride<typename D::X>(job.x.cols);
    tile.in = job.x.cols;
    for (std::int64_t t = 0; t < job.x.rows; t += S::kTileTokens) {
      tile.x = static_cast<const typename D::X*>(job.packed) + t * tile.x_stride;
      tile.sums = unit.sums + t * kFinishRows;
      multiply(static_cast<int>(smaller(S::kTileTokens, job.x.rows - t)), job, unit, tile);
    }
  }
};

}  // namespace
}  // namespace dejavu
