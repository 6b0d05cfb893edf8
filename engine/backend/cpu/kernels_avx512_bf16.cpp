// The AVX-512 BF16 path: VDPBF16PS for BF16 weights. A lane adds the products of inputs 2i and 2i+1
// in one step.
#include "engine/backend/cpu/gather_bf16.h"
#include "engine/backend/cpu/gather_dot.h"
#include "engine/backend/cpu/gather_mlp.h"

namespace dejavu {
namespace {

struct Bf16Dot {
  using S = Avx512;
  using Sum = __m512;
  using X = std::uint16_t;
  using Weight = __m512bh;
  static constexpr DType kX = DType::kBF16;
  static constexpr int kStep = 32;
  static constexpr std::int64_t kWeightBytes = 2;
  static constexpr bool kRowByRow = true;

  static Sum zero() { return _mm512_setzero_ps(); }
  static Weight weight(const char* p) { return reinterpret_cast<Weight>(_mm512_loadu_si512(p)); }
  static Weight weight(const char* p, int n) {
    const auto mask = static_cast<__mmask32>((1U << n) - 1U);
    return reinterpret_cast<Weight>(_mm512_maskz_loadu_epi16(mask, p));
  }
  static Sum step(Sum sum, Weight w, const X* x) {
    return _mm512_dpbf16_ps(sum, w, reinterpret_cast<Weight>(_mm512_loadu_si512(x)));
  }
  static __m128 total(const Sum* four) { return S::sum4(four[0], four[1], four[2], four[3]); }
};

struct Bf16Lanes : Bf16Panel<RowsTogether> {
  using Operand = __m512bh;

  // 32 columns of eight pairs of rows, in the panel's order.
  static constexpr std::int64_t kStreamRows = 16;
  static void load_rows(const ConstMatrix& w, std::int64_t n, std::int64_t column,
                        Operand (&to)[kStreamRows / 2][2]) {
    __m512i even;
    for_rows<kStreamRows>(w, n, column, [&](int i, __m512i row) {
      if (i % 2 == 0) {
        even = row;
        return;
      }
      to[i / 2][0] = reinterpret_cast<Operand>(_mm512_unpacklo_epi16(even, row));
      to[i / 2][1] = reinterpret_cast<Operand>(_mm512_unpackhi_epi16(even, row));
    });
  }

  static Operand load(const Panel* panel) {
    return reinterpret_cast<Operand>(_mm512_load_si512(panel));
  }
  static Operand broadcast(const X* x) {
    std::int32_t pair = 0;
    __builtin_memcpy(&pair, x, sizeof pair);
    return reinterpret_cast<Operand>(_mm512_set1_epi32(pair));
  }
  static __m512 step(__m512 sum, Operand x, Operand w) { return _mm512_dpbf16_ps(sum, x, w); }
};

constexpr CpuKernels table() {
  CpuKernels kernels;
  kernels.rows[static_cast<int>(DType::kBF16)] = dot_kernel<Bf16Dot>();
  kernels.project[static_cast<int>(DType::kBF16)] = project_kernel<LaneProject<Bf16Lanes>>();
  kernels.gather[static_cast<int>(DType::kBF16)] =
      gather_kernel<DotGather<Bf16Dot>, LaneGather<Bf16Picked<Bf16Lanes>>>();
  return kernels;
}

constexpr CpuKernels kTable = table();

}  // namespace

const CpuKernels& avx512_bf16_kernels() { return kTable; }

}  // namespace dejavu
