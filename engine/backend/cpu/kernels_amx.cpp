// The AMX path: TDPBF16PS for BF16 weights, TDPBSSD and TDPBSUD for predictors.
#include "engine/backend/cpu/gather_amx.h"
#include "engine/backend/cpu/gather_mlp.h"
#include "engine/backend/cpu/predict_amx.h"
#include "engine/backend/cpu/project_amx_one.h"
#include "engine/backend/cpu/rows_amx_many.h"
#include "engine/backend/cpu/rows_amx_one.h"

namespace dejavu {
namespace {

std::size_t rows_packed_bytes(std::int64_t tokens, std::int64_t in) {
  return tokens == 1 ? AmxRowsOne::packed_bytes(in) : AmxRows::packed_bytes(tokens, in);
}

void rows_pack(const RowsJob& job, std::int64_t group) {
  if (AmxRowsOne::fits(job)) return AmxRowsOne::pack(job);
  AmxRows::pack(job, group);
}

void rows_run(const RowsJob& job, std::int64_t begin, std::int64_t end) {
  if (AmxRowsOne::fits(job)) return AmxRowsOne::run(job, begin, end);
  if (job.x.rows > AmxRows::kPanelTiles * kPackTokens) return AmxRowsMany::run(job, begin, end);
  AmxRows::run(job, begin, end);
}

void range_run(const ProjectJob& job, std::int64_t range, std::int64_t begin, std::int64_t end) {
  if (!AmxProjectOne::fits(job, false)) return project_range<AmxProject>(job, range, begin, end);
  AmxProjectOne::run(job, range_place(job, range, begin, end), nullptr);
}

void range_pair(const ProjectJob& job, std::int64_t range, std::int64_t later) {
  const RangePlace second = range_place(job, later, 0, job.w.cols);
  AmxProjectOne::run(job, range_place(job, range, 0, job.w.cols), &second);
}

constexpr ProjectKernel project() {
  ProjectKernel kernel = project_kernel<AmxProject>();
  kernel.range = range_run;
  kernel.streams = AmxProjectOne::fits;
  kernel.range_pair = range_pair;
  return kernel;
}

constexpr CpuKernels table() {
  CpuKernels kernels;
  kernels.rows[static_cast<int>(DType::kBF16)] = {rows_packed_bytes, rows_pack, rows_run};
  kernels.project[static_cast<int>(DType::kBF16)] = project();
  kernels.gather[static_cast<int>(DType::kBF16)] = gather_kernel<AmxGatherRows, AmxGather>();
  kernels.predict = PredictAmx::kernel();
  return kernels;
}

constexpr CpuKernels kTable = table();

}  // namespace

const CpuKernels& amx_kernels() { return kTable; }

}  // namespace dejavu
