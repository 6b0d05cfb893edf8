// Predictors: a token is rounded to 16-bit steps and multiplied by 8-bit rows in integers, which is
// exact: a score depends on its own token alone, whatever the order of addition. The steps are so
// many that the 32-bit sum cannot overflow. Internal linkage: see kernels.h.
#pragma once

#include "engine/backend/cpu/kernel_common.h"

namespace dejavu {
namespace {

constexpr std::int64_t kScoreTokens = 2 * kPackTokens;  // tokens that pass over some rows together

inline float most_steps(std::int64_t in) {
  return static_cast<float>(smaller(32767, 0x7fffffff / (128 * in)));
}

struct TokenScale {
  float factor = 0;  // steps a unit of x makes
  float step = 0;    // what a step is worth
};

template <class S>
TokenScale token_scale(const float* x, std::int64_t in, bool normalise) {
  using V = typename S::V;
  V largest = S::zero();
  V square = S::zero();
  for_vectors<S>(in, [&](std::int64_t i, int n) {
    const V v = S::load(x + i, n);
    largest = S::max(largest, S::max(v, S::sub(S::zero(), v)));
    square = S::fma(v, v, square);
  });
  const float top = S::largest(largest);
  const float most = most_steps(in);
  TokenScale scale{top > 0 ? most / top : 0.0F, top / most};
  if (normalise) {
    const float mean = S::sum(square) / static_cast<float>(in) + 1e-6F;
    scale.step /= _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(mean)));
  }
  return scale;
}

// Sums of kSetWord rows: [tokens][kSetWord].
struct ScoreBlock {
  std::int64_t row = 0;
  std::int64_t rows = 0;
  std::int64_t token = 0;
  std::int64_t tokens = 0;  // kScoreTokens at most
  std::int32_t* sums = nullptr;
};

// visit(block) over rows [begin, end) and all tokens.
template <class K, class Visit>
void for_scores(const PredictRows& rows, std::int64_t begin, std::int64_t end, const Visit& visit) {
  alignas(64) std::int32_t sums[kScoreTokens * kSetWord];
  const typename K::Setup setup(rows);
  for (std::int64_t row = begin; row < end; row += kSetWord) {
    for (std::int64_t token = 0; token < rows.tokens; token += kScoreTokens) {
      const ScoreBlock block{row, smaller(kSetWord, end - row), token,
                             smaller(kScoreTokens, rows.tokens - token), sums};
      K::sums(rows, block);
      visit(block);
    }
  }
}

template <class K>
void predict_low(const PredictLowJob& job, std::int64_t begin, std::int64_t end) {
  using S = typename K::I::S;
  const PredictRows& rows = job.rows;
  for_scores<K>(rows, begin, end, [&](const ScoreBlock& block) {
    for (std::int64_t t = 0; t < block.tokens; ++t) {
      const auto step = S::set1(rows.token_scale[block.token + t]);
      float* low = job.low + (block.token + t) * rows.rows + block.row;
      for_vectors<S>(block.rows, [&](std::int64_t i, int n) {
        const auto sum = K::I::load_float(block.sums + t * kSetWord + i);
        const auto scale = S::load(rows.row_scale + block.row + i, n);
        S::store(low + i, S::mul(S::mul(sum, step), scale), n);
      });
    }
  });
}

template <class K>
void predict_sets(const PredictSetJob& job, std::int64_t begin, std::int64_t end) {
  using S = typename K::I::S;
  const PredictRows& rows = job.rows;
  for_scores<K>(rows, begin, end, [&](const ScoreBlock& block) {
    for (std::int64_t t = 0; t < block.tokens; ++t) {
      const std::int64_t token = block.token + t;
      const auto step = S::set1(rows.token_scale[token]);
      const float* thresholds = job.thresholds + job.level[token] * rows.rows + block.row;
      std::uint32_t word = 0;
      for_vectors<S>(block.rows, [&](std::int64_t i, int n) {
        const auto sum = K::I::load_float(block.sums + t * kSetWord + i);
        const auto scale = S::load(rows.row_scale + block.row + i, n);
        const auto score = S::fma(S::mul(sum, step), scale, S::load(job.bias + block.row + i, n));
        const std::uint32_t in = S::at_least(score, S::load(thresholds + i, n));
        word |= (n < 32 ? in & ((1U << n) - 1U) : in) << i;
      });
      job.sets[token][block.row / kSetWord] = word;
    }
  });
}

template <class K>
constexpr PredictKernel predict_kernel() {
  return {K::packed_bytes, K::pack, predict_low<K>, predict_sets<K>};
}

}  // namespace
}  // namespace dejavu
