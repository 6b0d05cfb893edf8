// The CPU backend's predictors. On the side stream most of their work waits for the next project():
// that op leaves workers idle when its matrix is small or its ranges are few, and those take the
// predictor. A small one is an item of its own, from the first product to the counts; of a large
// one the rows of the second product are items. Every op that could see the sets finishes them
// first.
#include <algorithm>
#include <bit>
#include <chrono>
#include <vector>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/cpu/work_sizes.h"

namespace dejavu {
namespace {

using Clock = std::chrono::steady_clock;

// Work below which one thread is done before others would have woken up.
constexpr std::int64_t kSmallBytes = std::int64_t{32} << 10;
constexpr std::int64_t kSmallProducts = std::int64_t{1} << 21;
constexpr std::int64_t kItemBytes = std::int64_t{64} << 10;
// Up to which a whole predictor is one item.
constexpr std::int64_t kWholeBytes = std::int64_t{512} << 10;
constexpr std::int64_t kWholeProducts = std::int64_t{1} << 22;

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

void unite(const PredictArgs& args) {
  const MaskView& mask = args.mask;
  std::int32_t count = 0;
  for (int w = 0; w < mask_words(mask.units); ++w) {
    std::uint32_t any = 0;
    for (std::int64_t t = 0; t < args.x.rows; ++t) any |= mask.words[t * mask.stride + w];
    for (; any != 0; any &= any - 1) args.union_ids[count++] = 32 * w + std::countr_zero(any);
  }
  *args.union_count = count;
}

void count_sets(const PredictArgs& args) {
  const int words = mask_words(args.predictor.units);
  for (std::int64_t t = 0; t < args.x.rows; ++t) {
    args.counts[t] = count_units(args.mask.words + t * args.mask.stride, words);
  }
  unite(args);
}

}  // namespace

void CpuBackend::predict(const PredictArgs& args, StreamId stream) {
  finish_predict();
  const PredictorView& p = args.predictor;
  PendingSets& pending = pending_;
  pending.args = args;
  pending.sets.clear();
  pending.levels.clear();
  std::vector<const float*> x;
  for (std::int64_t t = 0; t < args.x.rows; ++t) {
    std::uint32_t* words = args.mask.words + t * args.mask.stride;
    if (args.level[t] < 0) {
      fill_set(p.units, words);
      continue;
    }
    x.push_back(static_cast<const float*>(args.x.row(t)));
    pending.sets.push_back(words);
    pending.levels.push_back(args.level[t]);
  }
  pending.waits = true;
  if (!x.empty()) begin_predict(x, stream);
  if (stream == StreamId::kMain) finish_predict();
}

// Packs the tokens x and, unless the predictor is one item, multiplies them by the first matrix.
void CpuBackend::begin_predict(const std::vector<const float*>& x, StreamId stream) {
  const PredictorView& p = pending_.args.predictor;
  const PredictKernel& kernel = kernels_.predict;
  const auto tokens = static_cast<std::int64_t>(x.size());
  const std::int64_t widest = p.down == nullptr ? p.rank : std::max(p.input, p.rank);
  PredictRows rows;
  rows.tokens = tokens;
  rows.packed = predict_packed_.get(kernel.packed_bytes(tokens, widest));
  rows.token_scale = static_cast<float*>(
      predict_low_.get(static_cast<std::size_t>(tokens * (p.rank + 1)) * sizeof(float)));
  rows.in = p.down == nullptr ? p.rank : p.input;
  pool_.parallel_for(ceil_div(tokens, kPackTokens),
                     [&](std::int64_t group, int) { kernel.pack(rows, x.data(), group, true); });

  PredictLowJob& low = pending_.low;
  low.low = rows.token_scale + tokens;
  rows.w = p.down;
  rows.rows = p.down == nullptr ? 0 : p.rank;
  rows.row_scale = p.down_scale;
  low.rows = rows;

  rows.in = p.rank;
  rows.w = p.up;
  rows.rows = p.units;
  rows.row_scale = p.up_scale;
  PredictSetJob& job = pending_.job;
  job.rows = rows;
  job.bias = p.bias;
  job.thresholds = p.thresholds;
  job.level = pending_.levels.data();
  job.sets = pending_.sets.data();

  const std::int64_t bytes = low.rows.rows * low.rows.in + rows.rows * rows.in;
  pending_.whole =
      stream == StreamId::kSide && bytes <= kWholeBytes && bytes * tokens <= kWholeProducts;
  if (pending_.whole) {
    pending_.items = 1;
    return;
  }
  const std::int64_t step = std::max(rows_an_item(low.rows), std::int64_t{1});
  pool_.parallel_for(ceil_div(low.rows.rows, step), [&](std::int64_t item, int) {
    kernel.low(low, item * step, std::min(low.rows.rows, (item + 1) * step));
  });
  pack_low();
  pending_.rows_an_item = rows_an_item(rows);
  pending_.items = ceil_div(rows.rows, pending_.rows_an_item);
}

// What the first product gave becomes the input of the second.
void CpuBackend::pack_low() {
  const PredictLowJob& low = pending_.low;
  if (low.rows.rows == 0) return;
  const PredictRows& rows = pending_.job.rows;
  std::vector<const float*> x;
  for (std::int64_t t = 0; t < rows.tokens; ++t) x.push_back(low.low + t * rows.in);
  for (std::int64_t group = 0; group < ceil_div(rows.tokens, kPackTokens); ++group) {
    kernels_.predict.pack(rows, x.data(), group, false);
  }
}

void CpuBackend::predict_item(std::int64_t item) {
  const PredictKernel& kernel = kernels_.predict;
  const PredictSetJob& job = pending_.job;
  if (pending_.whole) {
    const PredictLowJob& low = pending_.low;
    if (low.rows.rows > 0) kernel.low(low, 0, low.rows.rows);
    pack_low();
    kernel.sets(job, 0, job.rows.rows);
    return count_sets(pending_.args);
  }
  const std::int64_t step = pending_.rows_an_item;
  kernel.sets(job, item * step, std::min(job.rows.rows, (item + 1) * step));
}

void CpuBackend::predict_beside(std::int64_t item) {
  const auto start = Clock::now();
  predict_item(item);
  const auto taken = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start);
  beside_ns_.fetch_add(taken.count(), std::memory_order_relaxed);
}

void CpuBackend::finish_predict() {
  if (!pending_.waits) return;
  const auto start = Clock::now();
  const bool counted = pending_.whole && !pending_.sets.empty();
  const std::int64_t items = std::exchange(pending_.items, 0);
  pool_.parallel_for(items, [this](std::int64_t item, int) { predict_item(item); });
  if (!counted) count_sets(pending_.args);
  pending_.waits = false;
  alone_seconds_ += std::chrono::duration<double>(Clock::now() - start).count();
}

void CpuBackend::stamp(std::int64_t* out, StreamId stream) {
  if (stream == StreamId::kSide) finish_predict();
  *out = std::chrono::nanoseconds(Clock::now().time_since_epoch()).count();
}

DeferredPredictTime CpuBackend::deferred_predict_time() const {
  const auto beside = static_cast<double>(beside_ns_.load(std::memory_order_relaxed));
  return {beside * 1e-9 / info_.threads, alone_seconds_};
}

}  // namespace dejavu
