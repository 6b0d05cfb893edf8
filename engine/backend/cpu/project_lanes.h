// y = x W with sums in vector registers: kVectors vectors of columns by a few tokens. L packs the
// panel and multiplies: FmaLanes here, Bf16Lanes where VDPBF16PS is.
#pragma once

#include "engine/backend/cpu/project_common.h"

namespace dejavu {
namespace {

template <class L>
struct LaneProject : L {
  using S = typename L::S;
  using V = typename S::V;
  using Tile = PanelTile<LaneProject>;
  static constexpr int kVectors = 4;
  static constexpr int kTokens = S::kTileTokens;

  template <int N>
  static void multiply_tokens(const Tile& tile, std::int64_t at, const typename L::X* x,
                              const typename L::Panel* panel) {
    V sums[N][kVectors];
#pragma GCC unroll 8
    for (int t = 0; t < N; ++t) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        sums[t][v] = tile.from == nullptr
                         ? S::zero()
                         : S::load(tile.from + at + t * tile.stride + v * S::kWidth);
      }
    }
    for (std::int64_t n = 0; n < tile.steps; ++n) {
      typename L::Operand w[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) w[v] = L::load(panel + v * S::kWidth);
#pragma GCC unroll 8
      for (int t = 0; t < N; ++t) {
        const typename L::Operand value = L::broadcast(x + t * tile.x_stride + n * L::kInputs);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) sums[t][v] = L::step(sums[t][v], value, w[v]);
      }
      panel += kColumnPanel;
    }
#pragma GCC unroll 8
    for (int t = 0; t < N; ++t) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const std::int64_t to = at + t * tile.stride + v * S::kWidth;
        V sum = sums[t][v];
        if (tile.add != nullptr) sum = S::add(S::load(tile.add + to), sum);
        S::store(tile.to + to, sum);
      }
    }
  }

  // Sums rest in memory; L::kStreamRows rows of two vectors at a time.
  static constexpr std::int64_t kStreamTokens = 4;
  static void stream(const ProjectJob& job, const RangePlace& at) {
    constexpr std::int64_t kSteps = L::kStreamRows / L::kInputs;
    const std::int64_t x_stride = packed_stride<typename L::X>(job.x.cols);
    for (std::int64_t n = at.first; n < at.last; n += L::kStreamRows) {
      const typename L::X* x = packed_x<LaneProject>(job, 0, n);
      Prefetcher ahead = inputs_ahead(job, at, n, L::kStreamRows);
      for (std::int64_t column = at.begin; column < at.end; column += 2 * S::kWidth) {
        ahead.lines(1);
        typename L::Operand w[kSteps][2];
        L::load_rows(job.w, n, column, w);
        for (std::int64_t t = 0; t < job.x.rows; ++t) {
          float* sums = at.partial + t * job.partial_stride + column;
          V a = n == at.first ? S::zero() : S::load(sums);
          V b = n == at.first ? S::zero() : S::load(sums + S::kWidth);
#pragma GCC unroll 8
          for (std::int64_t i = 0; i < kSteps; ++i) {
            const typename L::Operand value = L::broadcast(x + t * x_stride + i * L::kInputs);
            a = L::step(a, value, w[i][0]);
            b = L::step(b, value, w[i][1]);
          }
          S::store(sums, a);
          S::store(sums + S::kWidth, b);
        }
      }
    }
  }

  template <int N = kTokens>
  static void multiply_some(const Tile& tile, std::int64_t token, std::int64_t tokens) {
    if constexpr (N > 1) {
      if (tokens < N) return multiply_some<N - 1>(tile, token, tokens);
    }
    for (std::int64_t column = 0; column < kColumnPanel; column += kVectors * S::kWidth) {
      multiply_tokens<N>(tile, token * tile.stride + column, tile.x + token * tile.x_stride,
                         tile.panel + column);
    }
  }

  static void multiply(const Tile& tile) {
    for (std::int64_t token = 0; token < tile.tokens; token += kTokens) {
      multiply_some(tile, token, smaller(kTokens, tile.tokens - token));
    }
  }
};

// F32 multiply-adds; weights of type W are widened into the panel.
template <class Simd, DType W>
struct FmaLanes {
  using S = Simd;
  using X = float;
  using Panel = float;
  using Operand = typename S::V;
  static constexpr DType kX = DType::kF32;
  static constexpr std::int64_t kInputs = 1;      // a panel row holds
  static constexpr std::int64_t kStepInputs = 1;  // a panel is padded to
  static constexpr std::int64_t kWeightBytes = W == DType::kF32 ? 4 : 2;

  template <class Ahead>
  static void pack(const ConstMatrix& w, const PanelPlace& at, float* panel, const Ahead& ahead) {
    const auto* row =
        static_cast<const char*>(w.data) + (at.begin * w.stride + at.column) * kWeightBytes;
    for (std::int64_t n = 0; n < at.count; ++n) {
      ahead();
      for (std::int64_t c = 0; c < kColumnPanel; c += S::kWidth) {
        const std::int64_t left = at.columns - c;
        S::store(panel + c, left >= S::kWidth
                                ? S::template load_as<W>(row + c * kWeightBytes)
                                : S::template load_as<W>(row + c * kWeightBytes, lanes(left)));
      }
      row += w.stride * kWeightBytes;
      panel += kColumnPanel;
    }
  }
  // Two vectors from each of kStreamRows rows; zeros past the last row and column.
  static constexpr std::int64_t kStreamRows = 4;
  static void load_rows(const ConstMatrix& w, std::int64_t n, std::int64_t column,
                        Operand (&to)[kStreamRows][2]) {
    const auto* from = static_cast<const char*>(w.data) + (n * w.stride + column) * kWeightBytes;
    const std::int64_t left = w.cols - column;
    const bool whole = left >= 2 * S::kWidth && n + kStreamRows <= w.rows;
#pragma GCC unroll 8
    for (int i = 0; i < kStreamRows; ++i) {
      const char* row = from + i * w.stride * kWeightBytes;
      if (whole) {
        to[i][0] = S::template load_as<W>(row);
        to[i][1] = S::template load_as<W>(row + S::kWidth * kWeightBytes);
      } else {
        const std::int64_t some = n + i < w.rows ? left : 0;
        to[i][0] = S::template load_as<W>(row, lanes(some));
        to[i][1] = S::template load_as<W>(row + S::kWidth * kWeightBytes, lanes(some - S::kWidth));
      }
    }
  }
  static int lanes(std::int64_t left) {
    return static_cast<int>(larger(0, smaller(left, S::kWidth)));
  }
  static Operand load(const float* panel) { return S::load(panel); }
  static Operand broadcast(const float* x) { return S::set1(*x); }
  static typename S::V step(typename S::V sum, Operand x, Operand w) { return S::fma(x, w, sum); }
  static void order(typename S::V& /*a*/, typename S::V& /*b*/) {}
};

}  // namespace
}  // namespace dejavu
