// The AVX2 path: F32 multiply-adds.
#include "engine/backend/cpu/f32_table.h"
#include "engine/backend/cpu/predict_avx2.h"

namespace dejavu {
namespace {

constexpr CpuKernels kTable = f32_table<Avx2Int>();

}  // namespace

const CpuKernels& avx2_kernels() { return kTable; }

}  // namespace dejavu
