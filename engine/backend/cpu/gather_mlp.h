// The ops that read weights where a token needs them only, over R (sums of picked rows) and G (what
// picked rows add). Internal linkage: see kernels.h.
#pragma once

#include "engine/backend/cpu/gather_common.h"

namespace dejavu {
namespace {

// A unit's rows as an MLP of their own.
struct UnitMlp {
  RowsJob job;
  alignas(64) float sums[kGatherTokens * kFinishRows];
  alignas(64) float gate_sums[kGatherTokens * kFinishRows];
  alignas(64) float hidden[kGatherTokens * kUnitRows];  // of any dtype
  alignas(64) float bias[kUnitRows];
  alignas(64) float gate_bias[kUnitRows];
  std::uint32_t sets[kGatherTokens];
};

inline void pick(const float* from, const UnitIds& unit, float* to) {
  for (int i = 0; i < unit.count; ++i) to[i] = from[unit.ids[i]];
}

// Each token's set, a bit a row of the unit.
inline void pick_sets(const MaskView& mask, const UnitIds& unit, std::int64_t tokens,
                      std::uint32_t* sets) {
  for (std::int64_t t = 0; t < tokens; ++t) {
    const std::uint32_t* words = mask.words + t * mask.stride;
    std::uint32_t bits = 0;
    for (int i = 0; i < unit.count; ++i) {
      const auto id = static_cast<std::uint32_t>(unit.ids[i]);
      bits |= (words[id / 32] >> id % 32 & 1U) << i;
    }
    sets[t] = bits;
  }
}

// Activations of a unit as inputs of the second projection: [tokens][kUnitRows].
template <class R, class G>
void unit_hidden(const RowsJob& up, const UnitIds& unit, UnitMlp& mlp, typename G::X* x) {
  using S = typename G::S;
  const std::int64_t tokens = up.x.rows;
  mlp.job = up;
  mlp.job.y = {mlp.hidden, up.x.dtype, tokens, unit.count, kUnitRows};
  mlp.job.cutoff_level = nullptr;
  if (up.bias != nullptr) {
    pick(up.bias, unit, mlp.bias);
    mlp.job.bias = mlp.bias;
  }
  if (up.gate_bias != nullptr) {
    pick(up.gate_bias, unit, mlp.gate_bias);
    mlp.job.gate_bias = mlp.gate_bias;
  }
  if (up.mask.words != nullptr) {
    pick_sets(up.mask, unit, tokens, mlp.sets);
    mlp.job.mask = {mlp.sets, kUnitRows, 1};
  }
  const ConstMatrix hidden = mlp.job.y;
  for (std::int64_t t = 0; t < tokens; ++t) {
    const std::int64_t place = t * kFinishRows;
    finish<S>(mlp.job, {t, 0, unit.count, mlp.sums + place,
                        up.gate.data == nullptr ? nullptr : mlp.gate_sums + place});
    for_vectors<S>(unit.count, [&](std::int64_t i, int n) {
      S::template store_as<G::kX>(x + t * kUnitRows + i,
                                  load_any<S>(up.x.dtype, at(hidden, t, i), n), n);
    });
  }
}

// Fetches the biases of a range, picked one by one later.
inline void fetch_biases(const GatherMlpJob& job, std::int64_t range) {
  for (const float* bias : {job.up.bias, job.up.gate_bias}) {
    if (bias == nullptr) continue;
    const std::int64_t end = smaller(job.up.w.rows, (range + 1) * job.down.range_length);
    for (std::int64_t i = range * job.down.range_length; i < end; i += 16) {
      _mm_prefetch(reinterpret_cast<const char*>(bias + i), _MM_HINT_T1);
      __asm__ volatile("");  // a function that only prefetches would be left out
    }
  }
}

// The first of the ids, sorted, that is not below `least`.
inline const std::int32_t* first_id(const GatherMlpJob& job, std::int64_t least) {
  std::int64_t low = 0;
  std::int64_t high = job.count;
  while (low < high) {
    const std::int64_t middle = (low + high) / 2;
    if (job.ids[middle] < least) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return job.ids + low;
}

template <class R, class G>
void gather_mlp_range(const GatherMlpJob& job, std::int64_t range) {
  const RowsJob& up = job.up;
  const ProjectJob& down = job.down;
  float* partial = down.partials + range * partial_size(down);
  fetch_biases(job, range);
  zero_partial(down, partial, 0, down.w.cols);
  UnitList list(first_id(job, range * down.range_length),
                first_id(job, (range + 1) * down.range_length));
  const bool gated = up.gate.data != nullptr;
  UnitMlp mlp;
  alignas(64) typename G::X x[kGatherTokens * kUnitRows];
  UnitIds unit = list.next();
  bool cold = true;
  while (unit.count > 0) {
    const UnitIds following = list.next();
    const RowList up_rows(up.w, unit, 0);
    const RowList down_rows(down.w, unit, 0);
    const RowList next_rows(gated ? up.gate : up.w, following, 0);
    if (gated) {
      const RowList gate_rows(up.gate, unit, 0);
      R::sums(up, {&gate_rows, &up_rows, mlp.gate_sums, cold});
    }
    R::sums(up, {&up_rows, &down_rows, mlp.sums, cold && !gated});
    unit_hidden<R, G>(up, unit, mlp, x);
    drop_zero_rows(up.x.rows, unit, x);
    if (unit.count > 0) G::add({&down, &unit, x, &next_rows, partial, 0, down.w.cols});
    unit = following;
    cold = false;
  }
}

// A unit's inputs from the packed tokens.
template <class G>
void pick_inputs(const ProjectJob& job, const UnitIds& unit, typename G::X* x) {
  for (std::int64_t t = 0; t < job.x.rows; ++t) {
    const auto* row = packed_x<G>(job, t, 0);
    for (int i = 0; i < unit.count; ++i) x[t * kUnitRows + i] = row[unit.ids[i]];
  }
}

template <class G>
void gather_project_range(const ProjectJob& job, std::int64_t range, std::int64_t begin,
                          std::int64_t end) {
  const std::int64_t first = range * job.range_length;
  const std::int64_t last = smaller(job.w.rows, first + job.range_length);
  float* partial = job.partials + range * partial_size(job);
  zero_partial(job, partial, begin, end);
  alignas(64) typename G::X x[kGatherTokens * kUnitRows];
  UnitIds unit;
  UnitIds following;
  bool cold = true;
  const auto flush = [&] {
    if (unit.count > 0) {
      const RowList next_rows(job.w, following, begin);
      pick_inputs<G>(job, unit, x);
      G::add({&job, &unit, x, &next_rows, partial, begin, end, cold});
      cold = false;
    }
    unit = following;
    following.count = 0;
  };
  for (std::int64_t n = first; n < last; n += kSetWord) {
    std::uint32_t live = 0;
    for (std::int64_t t = 0; t < job.x.rows; ++t) live |= G::nonzero(packed_x<G>(job, t, n));
    if (last - n < kSetWord) live &= (1U << (last - n)) - 1U;
    if (following.add(live, n)) continue;
    flush();
    following.add(live, n);
  }
  flush();
  flush();
}

// The gates of kUnitRows neurons from `row` on as an MLP of their own.
inline RowsJob unit_gates(const RowsJob& job, std::int64_t row, float* values) {
  RowsJob gates = job;
  gates.gate = {};
  gates.bias = job.gate_bias == nullptr ? nullptr : job.gate_bias + row;
  if (job.cutoffs != nullptr) gates.cutoffs = job.cutoffs + row;
  if (job.mask.words != nullptr) gates.mask.words = job.mask.words + row / kSetWord;
  gates.y = {values, DType::kF32, job.x.rows, kUnitRows, kUnitRows};
  return gates;
}

// Gates of kUnitRows neurons first, then the rows of w for those that are not zero. `begin` is a
// multiple of kSetWord.
template <class R, class S>
void gated_rows(const RowsJob& job, std::int64_t begin, std::int64_t end) {
  alignas(64) float sums[kGatherTokens * kFinishRows];
  alignas(64) float gate_values[kGatherTokens * kUnitRows];
  alignas(64) float picked[kGatherTokens * kFinishRows];
  for (std::int64_t row = begin; row < end; row += kUnitRows) {
    UnitIds unit;
    for (std::int64_t i = row; i < smaller(end, row + kUnitRows); ++i) {
      unit.ids[unit.count++] = static_cast<std::int32_t>(i);
    }
    const RowList gate_rows(job.gate, unit, 0);
    R::sums(job, {&gate_rows, nullptr, sums});
    const RowsJob gates = unit_gates(job, row, gate_values);
    for (std::int64_t t = 0; t < job.x.rows; ++t) {
      finish<S>(gates, {t, 0, unit.count, sums + t * kFinishRows, nullptr});
    }
    UnitIds live = unit;
    alignas(64) float kept[kGatherTokens * kUnitRows];
    __builtin_memcpy(kept, gate_values, sizeof kept);
    drop_zero_rows(job.x.rows, live, kept);
    const RowList up_rows(job.w, live, 0);
    if (live.count > 0) R::sums(job, {&up_rows, nullptr, picked});
    for (std::int64_t t = 0; t < job.x.rows; ++t) {
      float* all = sums + t * kFinishRows;
      for (int i = 0; i < kUnitRows; ++i) all[i] = 0;
      for (int i = 0; i < live.count; ++i) all[live.ids[i] - row] = picked[t * kFinishRows + i];
      for_vectors<S>(unit.count, [&](std::int64_t i, int n) {
        auto v = S::load(all + i);
        if (job.bias != nullptr) v = S::add(v, S::load(job.bias + row + i, n));
        const auto gate = S::load(gate_values + t * kUnitRows + i, n);
        v = S::add(S::mul(gate, v), S::zero());
        store_any<S>(job.y.dtype, at(job.y, t, row + i), v, n);
      });
    }
  }
}

template <class R, class G>
constexpr GatherKernel gather_kernel() {
  return {R::packed_bytes, R::pack, gather_mlp_range<R, G>, gather_project_range<G>,
          gated_rows<R, typename G::S>};
}

}  // namespace
}  // namespace dejavu
