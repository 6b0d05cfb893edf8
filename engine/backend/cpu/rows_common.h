// The epilogue of the rows kernels: sums become outputs. Internal linkage: see kernels.h.
#pragma once

#include "engine/backend/cpu/kernel_common.h"
#include "engine/backend/cpu/simd_math.h"

namespace dejavu {
namespace {

// Rows of w between two epilogues, which interrupt the stream of weights.
constexpr std::int64_t kFinishRows = 64;

// Sums of one token for some rows of w (and of gate).
struct Finish {
  std::int64_t token = 0;
  std::int64_t row = 0;
  std::int64_t count = 0;
  const float* sums = nullptr;       // [count, in whole vectors]
  const float* gate_sums = nullptr;  // likewise, or null
};

// What a neuron's activation lets through; zero at or below the token's cutoff.
template <class S>
typename S::V let_through(const RowsJob& job, const Finish& f, typename S::V v, std::int64_t i,
                          int n) {
  v = activate<S>(job.activation, v, job.threshold);
  if (job.cutoff_level == nullptr || job.cutoff_level[f.token] < 0) return v;
  const std::int64_t level = job.cutoff_level[f.token];
  const auto cutoff = S::load(job.cutoffs + level * job.w.rows + f.row + i, n);
  const auto magnitude = S::max(v, S::sub(S::zero(), v));
  return S::select_greater(magnitude, cutoff, v, S::zero());
}

// Zeros the lanes of the neurons [row, row + n) that are out of the token's set; rows come in whole
// vectors from the beginning of w.
template <class S>
typename S::V in_set(const MaskView& mask, std::int64_t token, std::int64_t row, typename S::V v) {
  const std::uint32_t word = mask.words[token * mask.stride + row / 32];
  return S::keep_bits(v, word >> static_cast<unsigned>(row % 32));
}

template <class S>
void finish(const RowsJob& job, const Finish& f) {
  for_vectors<S>(f.count, [&](std::int64_t i, int n) {
    auto v = S::load(f.sums + i);
    if (job.bias != nullptr) v = S::add(v, S::load(job.bias + f.row + i, n));
    if (f.gate_sums != nullptr) {
      auto gate = S::load(f.gate_sums + i);
      if (job.gate_bias != nullptr) gate = S::add(gate, S::load(job.gate_bias + f.row + i, n));
      // A gate of zero gives +0 whatever the other factor's sign.
      v = S::add(S::mul(let_through<S>(job, f, gate, i, n), v), S::zero());
    } else if (job.activated) {
      v = let_through<S>(job, f, v, i, n);
    }
    if (job.mask.words != nullptr) v = in_set<S>(job.mask, f.token, f.row + i, v);
    store_any<S>(job.y.dtype, at(job.y, f.token, f.row + i), v, n);
  });
}

// The row block read after this one; once, for the first tokens.
inline Prefetcher rows_ahead(const ConstMatrix& w, std::int64_t row, bool wanted) {
  return {w, {row + kRowBlock, wanted ? kRowBlock : 0, 0, w.cols}};
}

}  // namespace
}  // namespace dejavu
