// project: weights whose rows are inputs. One token reads every weight once; the rows are cut into
// as many splits as give each multiprocessor three blocks, all at work at once, and the block that
// arrives last at a column adds the splits' partial sums (a hundredth of the weights' bytes) in
// order. With a set of groups: project_groups.cuh. Several tokens go through cuBLASLt.
#include <algorithm>

#include "engine/backend/cuda/columns.cuh"
#include "engine/backend/cuda/gemm.h"
#include "engine/backend/cuda/ops.h"
#include "engine/backend/cuda/project_groups.cuh"

namespace dejavu::cuda {
namespace {

constexpr int kBlocksAProcessor = 3;
constexpr std::int64_t kMinInputs = 64;  // of a block

__device__ void finish(const ProjectArgs& args, std::int64_t token, std::int64_t column,
                       float sum) {
  if (args.bias != nullptr) sum += args.bias[column];
  float* y = static_cast<float*>(args.y.data) + token * args.y.stride + column;
  *y = args.accumulate ? *y + sum : sum;
}

template <class E, int kTokens, bool kPacked>
__global__ void __launch_bounds__(kColumnThreads, kTokens == 1 ? kBlocksAProcessor : 1)
    project_kernel(ProjectArgs args, ColumnsJob job, unsigned* tickets) {
  extern __shared__ float shared[];
  sum_columns<E, kTokens, kPacked>(job, shared);
  if (job.splits == 1) {
    for_sums<E, kTokens>(job, [&](std::int64_t token, std::int64_t column, int i) {
      finish(args, token, column, shared[i]);
    });
    return;
  }
  store_partials<E, kTokens>(job, shared);
  unsigned* ticket = tickets + blockIdx.z * gridDim.x + blockIdx.x;
  if (!arrives_last(ticket, gridDim.y)) return;
  const std::int64_t apart = job.x.rows * job.w.cols;
  for_sums<E, kTokens>(job, [&](std::int64_t token, std::int64_t column, int) {
    finish(args, token, column,
           sum_partials(job.partials + token * job.w.cols + column, apart, job.splits));
  });
}

template <class E, int kTokens, bool kPacked>
void launch_project(const Queue& queue, const ProjectArgs& args) {
  ColumnsJob job;
  job.x = args.x;
  job.w = args.w;
  job.skip_zeros = args.skip_zero_rows;
  job.partials = queue.scratch<float>();
  const std::int64_t columns = ceil_div(args.w.cols, kColumns<E>);
  const std::int64_t wanted =
      std::max<std::int64_t>(1, queue.processors * kBlocksAProcessor / columns);
  const std::int64_t most = std::max<std::int64_t>(1, args.w.rows / kMinInputs);
  job.splits = static_cast<int>(std::min({wanted, most, std::int64_t{256}}));
  // As many tokens at a time as the partial sums and the tickets allow.
  const auto floats = static_cast<std::int64_t>(queue.arena_bytes / sizeof(float));
  const std::int64_t room =
      std::min(floats / (job.splits * args.w.cols), queue.ticket_count / columns);
  const std::int64_t step = std::max<std::int64_t>(kTokens, room / kTokens * kTokens);
  for (std::int64_t first = 0; first < args.x.rows; first += step) {
    ProjectArgs part = args;
    part.x.rows = part.y.rows = std::min(step, args.x.rows - first);
    part.x.data = args.x.row(first);
    part.y.data = args.y.row(first);
    job.x = part.x;
    launch(queue, grid(column_blocks<E, kTokens>(job), kColumnThreads, kColumnShared<E, kTokens>),
           project_kernel<E, kTokens, kPacked>, part, job, queue.tickets);
  }
}

}  // namespace

void project(const Queue& queue, const ProjectArgs& args) {
  if (args.x.rows == 0) return;
  const bool packed = packed_rows(args.w);
  const GemmArgs gemm{args.x, args.w, true, args.y, args.accumulate};
  const bool skips = args.skip_zero_rows && args.x.rows <= kSkipTokens;
  if (packed && !skips && Gemm::takes(queue, gemm))
    return multiply_with_bias(queue, gemm, args.bias);
  with_element(args.x.dtype, [&](auto e) {
    using E = decltype(e);
    if (!packed) return launch_project<E, 4, false>(queue, args);
    if (const int packs = stripe_packs(queue, args); packs > 0)
      return project_groups<E>(queue, args, packs);
    if (args.x.rows == 1) return launch_project<E, 1, true>(queue, args);
    launch_project<E, 4, true>(queue, args);
  });
}

}  // namespace dejavu::cuda
