// The CPU backend's products with weights: how they are cut into items for the workers.
#include <algorithm>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/cpu/token_sets.h"
#include "engine/backend/cpu/work_sizes.h"

namespace dejavu {
namespace {

// Weights an item of work reads: enough to stream well, little enough to share out evenly. With
// many tokens it stays in L2 while the tokens pass.
constexpr std::int64_t kItemBytes = std::int64_t{256} << 10;
constexpr std::int64_t kManyTokensItemBytes = std::int64_t{512} << 10;
constexpr std::int64_t kFewTokens = 16;
constexpr std::int64_t kPackedBytes = std::int64_t{1} << 20;
constexpr std::int64_t kMinTokenBlock = 64;
constexpr std::int64_t kMaxRanges = 16;
constexpr std::int64_t kMinRangeInputs = 256;
constexpr std::int64_t kRangeColumns = 2048;
// Narrower where rows are left out: ranges then differ in work.
constexpr std::int64_t kSkipColumns = 1024;

}  // namespace

void CpuBackend::linear(const LinearArgs& args, StreamId /*stream*/) {
  finish_predict();
  RowsJob job;
  job.x = args.x;
  job.w = args.w;
  job.bias = args.bias;
  job.y = args.y;
  const RowSpan all{0, args.w.rows};
  if (args.row_mask.words == nullptr) return run_rows(job, {&all, 1});
  std::vector<RowSpan> spans;
  const auto add = [&](std::int64_t begin, std::int64_t end) {
    if (!spans.empty() && spans.back().end == begin) {
      spans.back().end = end;
    } else {
      spans.push_back({begin, end});
    }
  };
  for (int unit = 0; unit < args.row_mask.units; ++unit) {
    const std::int64_t begin = std::int64_t{unit} * args.group_rows;
    if (in_set(args.row_mask, 0, unit)) add(begin, begin + args.group_rows);
  }
  add(std::int64_t{args.row_mask.units} * args.group_rows, args.w.rows);
  run_rows(job, spans);
}

void CpuBackend::mlp_up(const MlpUpArgs& args, StreamId /*stream*/) {
  finish_predict();
  RowsJob job;
  job.x = args.x;
  job.w = args.up;
  job.gate = args.gate;
  job.bias = args.up_bias;
  job.gate_bias = args.gate_bias;
  job.activated = true;
  job.activation = args.activation;
  job.threshold = args.threshold;
  job.y = args.h;
  job.mask = args.mask;
  job.cutoffs = args.cutoffs;
  job.cutoff_level = args.cutoffs == nullptr ? nullptr : args.cutoff_level;
  job.skip_zero_gates = args.skip_zero_gates;
  const RowSpan all{0, args.up.rows};
  run_rows(job, {&all, 1});
}

// Tokens go in blocks whose packed x stays in L2 while the weights stream by.
void CpuBackend::run_rows(const RowsJob& job, std::span<const RowSpan> rows) {
  const std::int64_t tokens = job.x.rows;
  const std::int64_t block =
      std::max(kMinTokenBlock, kPackedBytes / (2 * job.x.cols) / kMinTokenBlock * kMinTokenBlock);
  for (std::int64_t first = 0; first < tokens; first += block) {
    RowsJob part = job;
    part.x.rows = part.y.rows = std::min(block, tokens - first);
    part.x.data = job.x.row(first);
    part.y.data = job.y.row(first);
    if (part.mask.words != nullptr) part.mask.words += first * part.mask.stride;
    if (part.cutoff_level != nullptr) part.cutoff_level += first;
    run_rows_block(part, rows);
  }
}

// `kernel`: RowsKernel or GatherKernel.
template <class Kernel>
void CpuBackend::pack_rows(const Kernel& kernel, RowsJob& job) {
  job.packed = packed_.get(kernel.packed_bytes(job.x.rows, job.x.cols));
  pool_.parallel_for(ceil_div(job.x.rows, kPackTokens),
                     [&](std::int64_t group, int) { kernel.pack(job, group); });
}
template void CpuBackend::pack_rows(const GatherKernel& kernel, RowsJob& job);

void CpuBackend::run_rows_block(RowsJob job, std::span<const RowSpan> spans) {
  const std::int64_t tokens = job.x.rows;
  const bool gated = job.gate.data != nullptr;
  const bool skip = job.skip_zero_gates && gated && tokens <= kGatherTokens;
  const RowsKernel& kernel = kernels_.rows[static_cast<std::size_t>(job.w.dtype)];
  const GatherKernel& gather = kernels_.gather[static_cast<std::size_t>(job.w.dtype)];
  const auto run = skip ? gather.gated_rows : kernel.run;
  if (skip) {
    pack_rows(gather, job);
  } else {
    pack_rows(kernel, job);
  }

  std::int64_t all = 0;
  for (const RowSpan& span : spans) all += span.end - span.begin;
  const std::int64_t row_bytes =
      job.w.cols * static_cast<std::int64_t>(dtype_size(job.w.dtype)) * (gated ? 2 : 1);
  const std::int64_t item_bytes = tokens > kFewTokens ? kManyTokensItemBytes : kItemBytes;
  const std::int64_t even = ceil_div(all, pool_.threads() * kItemsPerThread);
  const std::int64_t multiple = skip ? kSetWord : kRowBlock;
  const std::int64_t rows =
      round_up(std::max({std::min(item_bytes / row_bytes, even), std::int64_t{1},
                         ceil_div(2 * all, WorkerPool::kMaxItems)}),
               multiple);
  // A long stream of weights is read in long items first, since each item interrupts it, and in
  // short ones at the end of each worker's share, so that all are done together.
  const std::int64_t share = ceil_div(all, pool_.threads());
  std::int64_t left = share;
  items_.clear();
  for (const RowSpan& span : spans) {
    for (std::int64_t begin = span.begin; begin < span.end; begin = items_.back().end) {
      const std::int64_t some =
          tokens > kFewTokens ? rows : std::max(rows, round_up(left / kItemsPerThread, multiple));
      items_.push_back({begin, std::min(span.end, begin + some)});
      left -= items_.back().end - begin;
      if (left <= 0) left += share;
    }
  }
  pool_.parallel_for(static_cast<std::int64_t>(items_.size()), [&](std::int64_t item, int) {
    const RowSpan& span = items_[static_cast<std::size_t>(item)];
    run(job, span.begin, span.end);
  });
}

// Ranges follow from the number of inputs alone, and so does the order of addition.
void CpuBackend::cut_ranges(ProjectJob& job) {
  const std::int64_t in = job.w.rows;
  job.ranges = std::clamp<std::int64_t>(in / kMinRangeInputs, 1, kMaxRanges);
  job.range_length = round_up(ceil_div(in, job.ranges), kSetWord);
  job.ranges = ceil_div(in, job.range_length);
  // Not a power of two: a column's sums of all tokens would share one set of the cache.
  job.partial_stride = round_up(job.w.cols, kColumnPanel) + kPackTokens;
}

// y from the partials.
void CpuBackend::fold(const ProjectJob& job) {
  const ProjectKernel& kernel = kernels_.project[static_cast<std::size_t>(job.w.dtype)];
  const std::int64_t columns =
      round_up(std::max<std::int64_t>(1, kSmallWork / (job.x.rows * job.ranges)), kColumnPanel);
  pool_.parallel_for(ceil_div(job.w.cols, columns), [&](std::int64_t item, int) {
    kernel.fold(job, item * columns, std::min(job.w.cols, (item + 1) * columns));
  });
}

void CpuBackend::project(const ProjectArgs& args, StreamId /*stream*/) {
  const std::int64_t tokens = args.x.rows;
  if (tokens == 0) return;
  const ProjectKernel& kernel = kernels_.project[static_cast<std::size_t>(args.w.dtype)];
  ProjectJob job;
  job.x = args.x;
  job.w = args.w;
  job.bias = args.bias;
  job.y = args.y;
  job.accumulate = args.accumulate;
  cut_ranges(job);
  job.packed = packed_.get(kernel.packed_bytes(tokens, job.w.rows));
  pool_.parallel_for(ceil_div(tokens, kPackTokens),
                     [&](std::int64_t group, int) { kernel.pack(job, group); });

  const bool skip = args.skip_zero_rows && tokens <= kGatherTokens;
  if (tokens > kFewTokens && !skip) {
    const std::int64_t blocks = ceil_div(tokens, kTokenBlock);
    // Wide groups read x less often, narrow ones share out better.
    const std::int64_t even = args.w.cols * blocks / (pool_.threads() * kItemsPerThread);
    const std::int64_t columns =
        round_up(std::clamp<std::int64_t>(even, 1, kPanelColumns), kColumnPanel);
    const std::int64_t groups = ceil_div(args.w.cols, columns);
    for_items_and_sets(groups * blocks, [&](std::int64_t item) {
      const std::int64_t begin = item % groups * columns;
      kernel.panels(job, item / groups * kTokenBlock, begin,
                    std::min(args.w.cols, begin + columns));
    });
    return;
  }
  job.partials = partials(job);
  const bool streams = kernel.streams != nullptr && kernel.streams(job, skip);
  if (streams && job.ranges >= 2 * pool_.threads()) {
    const std::int64_t half = ceil_div(job.ranges, 2);
    for_items_and_sets(half, [&](std::int64_t range) {
      if (range + half < job.ranges) return kernel.range_pair(job, range, range + half);
      kernel.range(job, range, 0, args.w.cols);
    });
    return fold(job);
  }
  const bool gather = skip && !streams;
  const auto run =
      gather ? kernels_.gather[static_cast<std::size_t>(args.w.dtype)].project_range : kernel.range;
  const std::int64_t width = gather ? kSkipColumns : kRangeColumns;
  const std::int64_t groups = ceil_div(args.w.cols, width);
  for_items_and_sets(job.ranges * groups, [&](std::int64_t item) {
    const std::int64_t begin = item % groups * width;
    run(job, item / groups, begin, std::min(args.w.cols, begin + width));
  });
  fold(job);
}

float* CpuBackend::partials(const ProjectJob& job) {
  const std::int64_t floats = job.ranges * round_up(job.x.rows, kPackTokens) * job.partial_stride;
  return static_cast<float*>(partials_.get(static_cast<std::size_t>(floats) * sizeof(float)));
}

}  // namespace dejavu
