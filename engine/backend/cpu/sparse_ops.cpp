// The CPU backend's ops for contextual sparsity.
#include <algorithm>
#include <bit>
#include <vector>

#include "engine/backend/cpu/cpu_backend.h"

namespace dejavu {
namespace {

// Work below which one thread is done before others would have woken up.
constexpr std::int64_t kSmallBytes = std::int64_t{128} << 10;
constexpr std::int64_t kSmallProducts = std::int64_t{1} << 21;
constexpr std::int64_t kItemBytes = std::int64_t{64} << 10;

// Rows an item of a predictor takes: all of them when they are little work.
std::int64_t rows_an_item(const PredictRows& rows) {
  const std::int64_t bytes = rows.rows * rows.in;
  if (bytes < kSmallBytes && bytes * rows.tokens < kSmallProducts) return rows.rows;
  const std::int64_t some = std::max(std::min(kItemBytes / rows.in, rows.rows / 8), kSetWord);
  return some / kSetWord * kSetWord;
}

// Every unit is in.
void fill_set(int units, std::uint32_t* words) {
  std::fill(words, words + units / 32, ~0U);
  if (units % 32 != 0) words[units / 32] = (1U << (units % 32)) - 1U;
}

std::int32_t count_units(const std::uint32_t* words, int count) {
  std::int32_t units = 0;
  for (int w = 0; w < count; ++w) units += std::popcount(words[w]);
  return units;
}

void unite(const MaskView& mask, std::int64_t tokens, const PredictArgs& args) {
  std::int32_t count = 0;
  for (int w = 0; w < mask_words(mask.units); ++w) {
    std::uint32_t any = 0;
    for (std::int64_t t = 0; t < tokens; ++t) any |= mask.words[t * mask.stride + w];
    for (; any != 0; any &= any - 1) args.union_ids[count++] = 32 * w + std::countr_zero(any);
  }
  *args.union_count = count;
}

}  // namespace

void CpuBackend::predict(const PredictArgs& args, StreamId /*stream*/) {
  const PredictorView& p = args.predictor;
  const std::int64_t tokens = args.x.rows;
  std::vector<const float*> x;
  std::vector<std::uint32_t*> sets;
  std::vector<std::int32_t> levels;
  for (std::int64_t t = 0; t < tokens; ++t) {
    std::uint32_t* words = args.mask.words + t * args.mask.stride;
    if (args.level[t] < 0) {
      fill_set(p.units, words);
      continue;
    }
    x.push_back(static_cast<const float*>(args.x.row(t)));
    sets.push_back(words);
    levels.push_back(args.level[t]);
  }
  if (!x.empty()) {
    PredictSetJob job;
    job.bias = p.bias;
    job.thresholds = p.thresholds;
    job.level = levels.data();
    job.sets = sets.data();
    predict_sets(p, job, x);
  }
  for (std::int64_t t = 0; t < tokens; ++t) {
    args.counts[t] = count_units(args.mask.words + t * args.mask.stride, mask_words(p.units));
  }
  unite(args.mask, tokens, args);
}

// The sets of the tokens x.
void CpuBackend::predict_sets(const PredictorView& p, const PredictSetJob& given,
                              const std::vector<const float*>& x) {
  const PredictKernel& kernel = kernels_.predict;
  const auto tokens = static_cast<std::int64_t>(x.size());
  const std::int64_t widest = p.down == nullptr ? p.rank : std::max(p.input, p.rank);
  PredictRows rows;
  rows.tokens = tokens;
  rows.packed = packed_.get(kernel.packed_bytes(tokens, widest));
  rows.token_scale = static_cast<float*>(
      partials_.get(static_cast<std::size_t>(tokens * (p.rank + 1)) * sizeof(float)));
  const auto pack = [&](const std::vector<const float*>& from, bool normalise) {
    pool_.parallel_for((tokens + kPackTokens - 1) / kPackTokens, [&](std::int64_t group, int) {
      kernel.pack(rows, from.data(), group, normalise);
    });
  };
  const auto run = [&](const auto& job, auto function) {
    const std::int64_t step = rows_an_item(job.rows);
    pool_.parallel_for((job.rows.rows + step - 1) / step, [&](std::int64_t item, int) {
      function(job, item * step, std::min(job.rows.rows, (item + 1) * step));
    });
  };
  if (p.down == nullptr) {
    rows.in = p.rank;
    pack(x, true);
  } else {
    PredictLowJob low;
    low.low = rows.token_scale + tokens;
    rows.in = p.input;
    pack(x, true);
    rows.w = p.down;
    rows.rows = p.rank;
    rows.row_scale = p.down_scale;
    low.rows = rows;
    run(low, kernel.low);
    std::vector<const float*> lows;
    for (std::int64_t t = 0; t < tokens; ++t) lows.push_back(low.low + t * p.rank);
    rows.in = p.rank;
    pack(lows, false);
  }
  PredictSetJob sets = given;
  rows.w = p.up;
  rows.rows = p.units;
  rows.row_scale = p.up_scale;
  sets.rows = rows;
  run(sets, kernel.sets);
}

std::size_t CpuBackend::sparse_mlp_scratch(int tokens, int width, int /*ffn*/) const {
  return static_cast<std::size_t>(tokens) * static_cast<std::size_t>(width) * sizeof(float);
}

void CpuBackend::sparse_mlp(const SparseMlpArgs& args, StreamId /*stream*/) {
  const GatherKernel& kernel = kernels_.gather[static_cast<std::size_t>(args.down.dtype)];
  const MlpUpArgs& up = args.up;
  const Matrix sums{args.scratch, DType::kF32, up.x.rows, args.down.cols, args.down.cols};
  for (std::int64_t first = 0; first < up.x.rows; first += kGatherTokens) {
    const std::int64_t tokens = std::min(kGatherTokens, up.x.rows - first);
    GatherMlpJob job;
    job.ids = args.union_ids;
    job.count = *args.union_count;
    job.up.x = up.x;
    job.up.x.data = up.x.row(first);
    job.up.x.rows = tokens;
    job.up.w = up.up;
    job.up.gate = up.gate;
    job.up.bias = up.up_bias;
    job.up.gate_bias = up.gate_bias;
    job.up.activated = true;
    job.up.activation = up.activation;
    job.up.threshold = up.threshold;
    job.up.mask = up.mask;
    if (up.mask.words != nullptr) job.up.mask.words += first * up.mask.stride;
    pack_rows(kernel, job.up);
    job.down.x = job.up.x;
    job.down.w = args.down;
    job.down.y = {sums.row(first), DType::kF32, tokens, sums.cols, sums.stride};
    cut_ranges(job.down);
    job.down.partials = partials(job.down);
    pool_.parallel_for(job.down.ranges,
                       [&](std::int64_t range, int) { kernel.mlp_range(job, range); });
    fold(job.down);
  }
}

void CpuBackend::sparse_mlp_add(const SparseMlpAddArgs& args, StreamId /*stream*/) {
  const auto* sums = static_cast<const float*>(args.scratch);
  for_tokens(args.y.rows, args.y.cols, [&](std::int64_t t) {
    auto* y = static_cast<float*>(args.y.row(t));
    const float* row = sums + t * args.y.cols;
    for (std::int64_t i = 0; i < args.y.cols; ++i) {
      y[i] += args.bias == nullptr ? row[i] : row[i] + args.bias[i];
    }
  });
}

}  // namespace dejavu
