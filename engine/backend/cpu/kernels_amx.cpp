// The AMX path: TDPBF16PS for BF16 weights, TDPBSSD and TDPBSUD for predictors.
#include "engine/backend/cpu/gather_amx.h"
#include "engine/backend/cpu/gather_mlp.h"
#include "engine/backend/cpu/predict_amx.h"
#include "engine/backend/cpu/rows_amx_many.h"

namespace dejavu {
namespace {

constexpr CpuKernels table() {
  CpuKernels kernels;
  kernels.rows[static_cast<int>(DType::kBF16)] = {AmxRows::packed_bytes, AmxRows::pack,
                                                  amx_rows_run};
  kernels.project[static_cast<int>(DType::kBF16)] = project_kernel<AmxProject>();
  kernels.gather[static_cast<int>(DType::kBF16)] = gather_kernel<AmxGatherRows, AmxGather>();
  kernels.predict = predict_kernel<PredictAmx>();
  return kernels;
}

constexpr CpuKernels kTable = table();

}  // namespace

const CpuKernels& amx_kernels() { return kTable; }

}  // namespace dejavu
