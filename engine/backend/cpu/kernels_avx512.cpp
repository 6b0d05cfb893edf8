// The AVX-512 path: F32 multiply-adds.
#include "engine/backend/cpu/f32_table.h"
#include "engine/backend/cpu/predict_avx512.h"

namespace dejavu {
namespace {

constexpr CpuKernels kTable = f32_table<Avx512Int>();

}  // namespace

const CpuKernels& avx512_kernels() { return kTable; }

}  // namespace dejavu
