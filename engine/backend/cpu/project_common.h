// y = x W: lanes run along the outputs. Weights pass through a small packed panel (kColumnPanel
// columns of some inputs), which every token then uses. A sum starts at zero at the beginning of
// its range and takes the range's inputs in order; a range's partials may rest in memory between
// two panels, which changes no bit. Inputs that are exactly zero leave every sum as it is, so a
// caller may leave out their rows (the sparse modes do; this op reads every row).
// With very few tokens no panel is needed: a few rows stream by in memory order and every sum takes
// their inputs in turn.
// P says how a panel is packed and multiplied: see LaneProject and AmxProject.
#pragma once

#include "engine/backend/cpu/kernel_common.h"

namespace dejavu {
namespace {

// Inputs a panel takes: few when tokens are few (the weights stream through L1), else a whole range
// or this much of it.
constexpr std::int64_t kFewInputs = 64;
constexpr std::int64_t kManyInputs = 512;

// sums = (from or zero) + x * panel; then to = (add + sums, or sums).
template <class P>
struct PanelTile {
  const typename P::Panel* panel = nullptr;  // [inputs / P::kInputs][kColumnPanel]
  const typename P::X* x = nullptr;          // packed, at the first token and input
  std::int64_t x_stride = 0;
  std::int64_t tokens = 0;
  std::int64_t steps = 0;       // P::kInputs inputs each
  const float* from = nullptr;  // [tokens][stride]
  const float* add = nullptr;   // [tokens][stride]
  float* to = nullptr;          // [tokens][stride]
  std::int64_t stride = 0;
};

// Inputs [begin, begin + count) and columns [column, column + kColumnPanel) of w.
struct PanelPlace {
  std::int64_t begin = 0;
  std::int64_t count = 0;
  std::int64_t column = 0;
  std::int64_t columns = 0;  // inside w
};

template <class P>
struct alignas(64) PanelBuffer {
  typename P::Panel data[kManyInputs / P::kInputs * kColumnPanel];
};

template <class P>
PanelPlace place(const ProjectJob& job, std::int64_t begin, std::int64_t end, std::int64_t column) {
  return {begin, end - begin, column, smaller(kColumnPanel, job.w.cols - column)};
}

template <class P>
const typename P::X* packed_x(const ProjectJob& job, std::int64_t token, std::int64_t input) {
  return static_cast<const typename P::X*>(job.packed) +
         token * packed_stride<typename P::X>(job.x.cols) + input;
}

template <class P>
std::int64_t steps_of(std::int64_t inputs) {
  return round_up(inputs, P::kStepInputs) / P::kInputs;
}

inline std::int64_t partial_size(const ProjectJob& job) {
  return round_up(job.x.rows, kPackTokens) * job.partial_stride;
}

// Inputs [first, last) of a range and columns [begin, end), for few tokens.
struct RangePlace {
  std::int64_t first = 0;
  std::int64_t last = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;
  float* partial = nullptr;  // [tokens][partial_stride]
};

// The `count` rows behind row n.
inline Prefetcher inputs_ahead(const ProjectJob& job, const RangePlace& at, std::int64_t n,
                               std::int64_t count) {
  return {job.w, {n + count, count, at.begin, smaller(at.end, job.w.cols)}};
}

// Through the panel: its inputs' rows come from memory once for all tokens.
template <class P>
void range_by_panels(const ProjectJob& job, const RangePlace& at) {
  PanelBuffer<P> panel;
  constexpr auto kLines = static_cast<int>(P::kInputs * kColumnPanel * P::kWeightBytes / 64);
  PanelTile<P> tile;
  tile.panel = panel.data;
  tile.x_stride = packed_stride<typename P::X>(job.x.cols);
  tile.tokens = job.x.rows;
  tile.stride = job.partial_stride;
  for (std::int64_t n = at.first; n < at.last; n += kFewInputs) {
    const std::int64_t next = smaller(n + kFewInputs, at.last);
    Prefetcher ahead(job.w, {next, kFewInputs, at.begin, smaller(at.end, job.w.cols)},
                     Prefetcher::Fetch::kWhole);
    tile.x = packed_x<P>(job, 0, n);
    tile.steps = steps_of<P>(next - n);
    for (std::int64_t column = at.begin; column < at.end; column += kColumnPanel) {
      P::pack(job.w, place<P>(job, n, next, column), panel.data, [&] { ahead.lines(kLines); });
      tile.to = at.partial + column;
      tile.from = n == at.first ? nullptr : tile.to;
      P::multiply(tile);
    }
  }
}

inline RangePlace range_place(const ProjectJob& job, std::int64_t range, std::int64_t begin,
                              std::int64_t end) {
  const std::int64_t first = range * job.range_length;
  const std::int64_t last = smaller(job.w.rows, first + job.range_length);
  return {first, last, begin, end, job.partials + range * partial_size(job)};
}

template <class P>
void project_range(const ProjectJob& job, std::int64_t range, std::int64_t begin,
                   std::int64_t end) {
  const RangePlace at = range_place(job, range, begin, end);
  if (job.x.rows <= P::kStreamTokens) return P::stream(job, at);
  range_by_panels<P>(job, at);
}

// One token's outputs for columns [begin, end) from `ranges` partials, `step` floats apart.
struct Fold {
  std::int64_t token = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;
  const float* partial = nullptr;  // at column `begin`
  std::int64_t ranges = 0;
  std::int64_t step = 0;
};

template <class P>
void fold_row(const ProjectJob& job, const Fold& f) {
  using S = typename P::S;
  auto* y = static_cast<float*>(at(job.y, f.token, 0));
  const auto finish_vector = [&](std::int64_t column, typename S::V v) {
    if (column >= f.end) return;
    const int n = static_cast<int>(smaller(S::kWidth, f.end - column));
    if (job.bias != nullptr) v = S::add(v, S::load(job.bias + column, n));
    if (job.accumulate) v = S::add(S::load(y + column, n), v);
    S::store(y + column, v, n);
  };
  for (std::int64_t column = f.begin; column < f.end; column += 2 * S::kWidth) {
    const float* partial = f.partial + (column - f.begin);
    auto a = S::load(partial);
    auto b = S::load(partial + S::kWidth);
    for (std::int64_t r = 1; r < f.ranges; ++r) {
      a = S::add(a, S::load(partial + r * f.step));
      b = S::add(b, S::load(partial + r * f.step + S::kWidth));
    }
    P::order(a, b);
    finish_vector(column, a);
    finish_vector(column + S::kWidth, b);
  }
}

template <class P>
void project_fold(const ProjectJob& job, std::int64_t begin, std::int64_t end) {
  for (std::int64_t t = 0; t < job.x.rows; ++t) {
    fold_row<P>(job,
                {t, begin, smaller(end, job.w.cols), job.partials + t * job.partial_stride + begin,
                 job.ranges, partial_size(job)});
  }
}

template <class P>
void project_panels(const ProjectJob& job, std::int64_t first_token, std::int64_t begin,
                    std::int64_t end) {
  // One line more than the columns: equal columns of all tokens would share a set of the cache.
  constexpr std::int64_t kStride = kPanelColumns + kPackTokens;
  PanelBuffer<P> panel;
  alignas(64) float total[kTokenBlock * kStride];
  alignas(64) float partial[kTokenBlock * kStride];
  PanelTile<P> tile;
  tile.panel = panel.data;
  tile.x_stride = packed_stride<typename P::X>(job.x.cols);
  tile.tokens = smaller(kTokenBlock, job.x.rows - first_token);
  tile.stride = kStride;
  for (std::int64_t range = 0; range < job.ranges; ++range) {
    const std::int64_t first = range * job.range_length;
    const std::int64_t last = smaller(job.w.rows, first + job.range_length);
    for (std::int64_t n = first; n < last; n += kManyInputs) {
      const std::int64_t next = smaller(n + kManyInputs, last);
      tile.x = packed_x<P>(job, first_token, n);
      tile.steps = steps_of<P>(next - n);
      for (std::int64_t column = begin; column < end; column += kColumnPanel) {
        P::pack(job.w, place<P>(job, n, next, column), panel.data, [] {});
        const std::int64_t at_column = column - begin;
        tile.from = n == first ? nullptr : partial + at_column;
        tile.add = next == last && range > 0 ? total + at_column : nullptr;
        tile.to = (next == last ? total : partial) + at_column;
        P::multiply(tile);
      }
    }
  }
  for (std::int64_t t = 0; t < tile.tokens; ++t) {
    fold_row<P>(job, {first_token + t, begin, smaller(end, job.w.cols), total + t * kStride, 1, 0});
  }
}

template <class P>
std::size_t project_packed_bytes(std::int64_t tokens, std::int64_t in) {
  return static_cast<std::size_t>(round_up(tokens, kPackTokens) *
                                  packed_stride<typename P::X>(in)) *
         sizeof(typename P::X);
}

template <class P>
void project_pack(const ProjectJob& job, std::int64_t group) {
  auto* packed = static_cast<typename P::X*>(job.packed);
  const std::int64_t end = smaller(job.x.rows, (group + 1) * kPackTokens);
  for (std::int64_t t = group * kPackTokens; t < end; ++t) {
    pack_row<typename P::S, P::kX>(job.x, t, packed + t * packed_stride<typename P::X>(job.x.cols));
  }
}

template <class P>
constexpr ProjectKernel project_kernel() {
  ProjectKernel kernel;
  kernel.packed_bytes = project_packed_bytes<P>;
  kernel.pack = project_pack<P>;
  kernel.range = project_range<P>;
  kernel.fold = project_fold<P>;
  kernel.panels = project_panels<P>;
  return kernel;
}

}  // namespace
}  // namespace dejavu
