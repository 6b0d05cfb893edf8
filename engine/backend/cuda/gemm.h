// Matrix products of many tokens through cuBLASLt. The library (half a gigabyte) is looked for when
// the backend is made, not linked: a program built with CUDA starts on a machine without it, and a
// GPU without it still works, with this backend's own kernels alone.
#pragma once

#include <memory>

#include "engine/backend/backend.h"
#include "engine/backend/cuda/queue.h"

namespace dejavu::cuda {

struct GemmArgs {
  ConstMatrix x;  // [T][in]
  ConstMatrix w;  // [out][in], or [in][out]
  bool inputs_are_rows = false;
  Matrix y;  // F32 or x's dtype [T][out]
  bool accumulate = false;
};

class Gemm {
 public:
  // Null when there is no cuBLASLt.
  static std::unique_ptr<Gemm> open();
  Gemm() = default;
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;
  virtual ~Gemm() = default;

  // Rows of all three must start on sixteen bytes (see takes()). Uses the end of the arena.
  virtual void run(const Queue& queue, const GemmArgs& args) = 0;

  // Whether `queue` has a library, and it can multiply these, and there is more than one token.
  static bool takes(const Queue& queue, const GemmArgs& args);
  // What run() uses of the arena, at its end.
  static constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;
};

// run(), and `bias` added to every row of y; null: none.
void multiply_with_bias(const Queue& queue, const GemmArgs& args, const float* bias);

// Beyond so many tokens the hints of what need not be read are not worth a pass for each tile of
// them: all is read, through cuBLASLt.
inline constexpr std::int64_t kSkipTokens = 8;

}  // namespace dejavu::cuda
