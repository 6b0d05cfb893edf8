// Dot products of weight rows with tokens, a warp a row or two. A step of a packed row is 512 bytes
// of it, kUnroll steps are loaded before the first is used: with two rows that is 128 bytes in
// flight a lane, and 32 warps then cover Hopper's latency several times over. The order of addition
// depends on neither the number of rows nor of tokens.
#pragma once

#include "engine/backend/cuda/element.cuh"

namespace dejavu::cuda {

constexpr int kUnroll = 4;

template <class E>
struct TokenRows {
  const E* x = nullptr;  // the first token of the tile
  std::int64_t stride = 0;
  std::int64_t in = 0;
  int tokens = 0;  // of the tile, in use
};

// The first steps of each row, loaded before anything else is known.
template <int kRows, int kAtOnce = kUnroll>
struct Steps {
  uint4 raw[kRows][kAtOnce];

  template <class E>
  __device__ void load(const E* const (&rows)[kRows], std::int64_t begin, std::int64_t in) {
    const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      const std::int64_t c = begin + (std::int64_t{u} * 32 + lane) * kPack<E>;
#pragma unroll
      for (int r = 0; r < kRows; ++r)
        raw[r][u] = c < in ? load_stream(rows[r] + c) : uint4{0, 0, 0, 0};
    }
  }
};

// Sums of rows whose packs lie on sixteen bytes; `steps` holds their beginnings. Rows of tokens
// beyond tile.tokens are not read; their sums mean nothing.
template <class E, int kRows, int kTokens, int kAtOnce>
__device__ void packed_dot(const E* const (&rows)[kRows], const TokenRows<E>& tile,
                           Steps<kRows, kAtOnce>& steps, float (&sums)[kRows][kTokens]) {
  constexpr std::int64_t kStep = std::int64_t{32} * kAtOnce * kPack<E>;
  const int lane = static_cast<int>(threadIdx.x % 32);
  for (auto& row : sums)
    for (float& sum : row) sum = 0;
  for (std::int64_t begin = 0; begin < tile.in; begin += kStep) {
    if (begin > 0) steps.load(rows, begin, tile.in);
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      const std::int64_t c = begin + (std::int64_t{u} * 32 + lane) * kPack<E>;
      if (c >= tile.in) break;
      float w[kRows][kPack<E>];
#pragma unroll
      for (int r = 0; r < kRows; ++r) unpack<E>(steps.raw[r][u], w[r]);
#pragma unroll
      for (int t = 0; t < kTokens; ++t) {
        if (t >= tile.tokens) break;
        float x[kPack<E>];
        unpack<E>(load_16(tile.x + t * tile.stride + c), x);
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
#pragma unroll
          for (int i = 0; i < kPack<E>; ++i) sums[r][t] = fmaf(w[r][i], x[i], sums[r][t]);
        }
      }
    }
  }
  for (auto& row : sums)
    for (float& sum : row) sum = lane_sum(sum);
}

// The same for rows that start anywhere.
template <class E, int kRows, int kTokens>
__device__ void plain_dot(const E* const (&rows)[kRows], const TokenRows<E>& tile,
                          float (&sums)[kRows][kTokens]) {
  for (auto& row : sums)
    for (float& sum : row) sum = 0;
  for (std::int64_t c = threadIdx.x % 32; c < tile.in; c += 32) {
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      if (t >= tile.tokens) break;
      const float x = to_float(tile.x[t * tile.stride + c]);
#pragma unroll
      for (int r = 0; r < kRows; ++r) sums[r][t] = fmaf(to_float(rows[r][c]), x, sums[r][t]);
    }
  }
  for (auto& row : sums)
    for (float& sum : row) sum = lane_sum(sum);
}

template <class E, bool kPacked, int kRows, int kTokens, int kAtOnce>
__device__ void dot(const E* const (&rows)[kRows], const TokenRows<E>& tile,
                    Steps<kRows, kAtOnce>& steps, float (&sums)[kRows][kTokens]) {
  if constexpr (kPacked) {
    packed_dot<E>(rows, tile, steps, sums);
  } else {
    plain_dot<E>(rows, tile, sums);
  }
}

}  // namespace dejavu::cuda
