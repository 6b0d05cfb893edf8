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

template <class S>
void finish(const RowsJob& job, const Finish& f) {
  for_vectors<S>(f.count, [&](std::int64_t i, int n) {
    auto v = S::load(f.sums + i);
    if (job.bias != nullptr) v = S::add(v, S::load(job.bias + f.row + i, n));
    if (f.gate_sums != nullptr) {
      auto gate = S::load(f.gate_sums + i);
      if (job.gate_bias != nullptr) gate = S::add(gate, S::load(job.gate_bias + f.row + i, n));
      v = S::mul(activate<S>(job.activation, gate, job.threshold), v);
    } else if (job.activated) {
      v = activate<S>(job.activation, v, job.threshold);
    }
    store_any<S>(job.y.dtype, at(job.y, f.token, f.row + i), v, n);
  });
}

// The row block read after this one; once, for the first tokens.
inline Prefetcher rows_ahead(const ConstMatrix& w, std::int64_t row, bool wanted) {
  return {w, {row + kRowBlock, wanted ? kRowBlock : 0, 0, w.cols}};
}

}  // namespace
}  // namespace dejavu
