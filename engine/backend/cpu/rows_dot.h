// y = x W^T by dot products: lanes run along the inputs. For every output there is one vector of
// sums, advanced by the same steps in the same order and added up in the same way, whatever the
// tile it is computed in; so an output's bits depend on its own row of w and of x alone.
// D says how a step multiplies and adds: see FmaDot and Bf16Dot.
#pragma once

#include "engine/backend/cpu/one_stream.h"
#include "engine/backend/cpu/rows_common.h"

namespace dejavu {
namespace {

// F32 lanes; weights of type W are widened as they are read.
template <class Simd, DType W>
struct FmaDot {
  using S = Simd;
  using Sum = typename S::V;
  using X = float;  // packed x
  using Weight = typename S::V;
  static constexpr DType kX = DType::kF32;
  static constexpr int kStep = S::kWidth;
  static constexpr std::int64_t kWeightBytes = W == DType::kF32 ? 4 : 2;
  static constexpr bool kRowByRow = false;  // one chain of additions is slower than memory

  static Sum zero() { return S::zero(); }
  static Weight weight(const char* p) { return S::template load_as<W>(p); }
  static Weight weight(const char* p, int n) { return S::template load_as<W>(p, n); }
  static Sum step(Sum sum, Weight w, const X* x) { return S::fma(w, S::load(x), sum); }
  static __m128 total(const Sum* four) { return S::sum4(four[0], four[1], four[2], four[3]); }
};

template <class D>
struct DotTile {
  const char* w[8];           // rows; those past the end repeat the last
  const typename D::X* x;     // packed, at the first token
  std::int64_t x_stride = 0;  // elements
  std::int64_t in = 0;
  float* sums = nullptr;  // [tokens][kFinishRows]
};

// R rows (a multiple of 4) by N tokens.
template <class D, int R, int N, class Ahead>
void dot_tile(const DotTile<D>& tile, Ahead& ahead) {
  typename D::Sum sums[N][R];
#pragma GCC unroll 8
  for (int t = 0; t < N; ++t) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) sums[t][r] = D::zero();
  }
  std::int64_t k = 0;
  for (; k + D::kStep <= tile.in; k += D::kStep) {
    ahead.lines(1);
    typename D::Weight w[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) w[r] = D::weight(tile.w[r] + k * D::kWeightBytes);
#pragma GCC unroll 8
    for (int t = 0; t < N; ++t) {
      const typename D::X* x = tile.x + t * tile.x_stride + k;
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) sums[t][r] = D::step(sums[t][r], w[r], x);
    }
  }
  if (k < tile.in) {
    const int rest = static_cast<int>(tile.in - k);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const typename D::Weight w = D::weight(tile.w[r] + k * D::kWeightBytes, rest);
#pragma GCC unroll 8
      for (int t = 0; t < N; ++t) {
        sums[t][r] = D::step(sums[t][r], w, tile.x + t * tile.x_stride + k);
      }
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < N; ++t) {
#pragma GCC unroll 2
    for (int r = 0; r < R; r += 4) {
      _mm_storeu_ps(tile.sums + t * kFinishRows + r, D::total(&sums[t][r]));
    }
  }
}

// Sums of a row block for N tokens: sums[token][row].
template <class D, int N>
void dot_block(const ConstMatrix& w, std::int64_t row, DotTile<D> tile, Prefetcher& ahead) {
  constexpr int kRows = N == 1 ? 8 : 4;
  const std::int64_t end = smaller(w.rows, row + kRowBlock);
  for (std::int64_t r = row; r < end; r += kRows) {
    for (int i = 0; i < kRows; ++i) {
      tile.w[i] = static_cast<const char*>(w.data) +
                  smaller(r + i, w.rows - 1) * w.stride * D::kWeightBytes;
    }
    dot_tile<D, kRows, N>(tile, ahead);
    tile.sums += kRows;
  }
}

template <class D>
typename D::Sum dot_row(const char* w, const typename D::X* x, std::int64_t in) {
  typename D::Sum sum = D::zero();
  std::int64_t k = 0;
  for (; k + D::kStep <= in; k += D::kStep) {
    const char* line = w + k * D::kWeightBytes;
    prefetch_line(line);
    sum = D::step(sum, D::weight(line), x + k);
  }
  if (k == in) return sum;
  return D::step(sum, D::weight(w + k * D::kWeightBytes, static_cast<int>(in - k)), x + k);
}

// The sums of dot_block for one token, row after row: see one_stream.h.
template <class D>
void dot_block_in_order(const ConstMatrix& w, std::int64_t row, const DotTile<D>& tile) {
  const std::int64_t end = smaller(w.rows, row + kRowBlock);
  for (std::int64_t r = row; r < end; r += 4) {
    typename D::Sum four[4];
    for (int i = 0; i < 4; ++i) {
      const std::int64_t place = smaller(r + i, w.rows - 1) * w.stride;
      four[i] =
          dot_row<D>(static_cast<const char*>(w.data) + place * D::kWeightBytes, tile.x, tile.in);
    }
    _mm_storeu_ps(tile.sums + (r - row), D::total(four));
  }
}

template <class D, int N = D::S::kTileTokens>
void dot_block_any(int tokens, const ConstMatrix& w, std::int64_t row, const DotTile<D>& tile,
                   Prefetcher& ahead) {
  if constexpr (N > 1) {
    if (tokens < N) return dot_block_any<D, N - 1>(tokens, w, row, tile, ahead);
  }
  dot_block<D, N>(w, row, tile, ahead);
}

template <class D>
std::size_t dot_packed_bytes(std::int64_t tokens, std::int64_t in) {
  return static_cast<std::size_t>(tokens * packed_stride<typename D::X>(in)) *
         sizeof(typename D::X);
}

template <class D, class Job>
void dot_pack(const Job& job, std::int64_t group) {
  auto* packed = static_cast<typename D::X*>(job.packed);
  const std::int64_t end = smaller(job.x.rows, (group + 1) * kPackTokens);
  for (std::int64_t t = group * kPackTokens; t < end; ++t) {
    pack_row<typename D::S, D::kX>(job.x, t, packed + t * packed_stride<typename D::X>(job.x.cols));
  }
}

template <class D>
void dot_run(const RowsJob& job, std::int64_t begin, std::int64_t end) {
  using S = typename D::S;
  constexpr int kTokens = S::kTileTokens;
  const bool gated = job.gate.data != nullptr;
  alignas(64) float sums[kTokens * kFinishRows];
  alignas(64) float gate_sums[kTokens * kFinishRows];
  DotTile<D> tile;
  tile.x_stride = packed_stride<typename D::X>(job.x.cols);
  tile.in = job.x.cols;
  for (std::int64_t token = 0; token < job.x.rows; token += kTokens) {
    const int tokens = static_cast<int>(smaller(kTokens, job.x.rows - token));
    tile.x = static_cast<const typename D::X*>(job.packed) + token * tile.x_stride;
    const auto multiply_rows = [&](const ConstMatrix& w, std::int64_t first, float* to) {
      const std::int64_t last = smaller(end, first + kFinishRows);
      for (std::int64_t row = first; row < last; row += kRowBlock) {
        tile.sums = to + (row - first);
        if (D::kRowByRow && job.x.rows == 1 && gapless(w)) {
          dot_block_in_order<D>(w, row, tile);
          continue;
        }
        Prefetcher ahead = rows_ahead(w, row, token == 0);
        dot_block_any<D>(tokens, w, row, tile, ahead);
      }
    };
    for (std::int64_t row = begin; row < end; row += kFinishRows) {
      multiply_rows(job.w, row, sums);
      if (gated) multiply_rows(job.gate, row, gate_sums);
      for (int t = 0; t < tokens; ++t) {
        finish<S>(job, {token + t, row, smaller(kFinishRows, end - row), sums + t * kFinishRows,
                        gated ? gate_sums + t * kFinishRows : nullptr});
      }
    }
  }
}

template <class D>
constexpr RowsKernel dot_kernel() {
  return {dot_packed_bytes<D>, dot_pack<D, RowsJob>, dot_run<D>};
}

}  // namespace
}  // namespace dejavu
