// The attention seam: dense here, with contextual head sparsity in sparsity/. Engine thread only.
#pragma once

#include "engine/backend/backend.h"
#include "engine/model/step_batch.h"

namespace dejavu {

// One layer's attention. A step calls, in this order:
//   look_ahead  on kSide, while the MLP of the layer before runs on kMain (not for layer 0)
//   attend      on kMain: reads `normed`, stores K and V of every head, leaves the heads' outputs
//               with the implementation
//   project     on kMain: adds their projection to the residual stream
// The transformer forks before look_ahead and joins after it, before anything writes the residual
// stream: implementations need no ordering between the streams of their own.
class Attention {
 public:
  Attention() = default;
  Attention(const Attention&) = delete;
  Attention& operator=(const Attention&) = delete;
  virtual ~Attention() = default;

  // `residual`: F32 [T][d], the stream entering the previous layer's MLP block.
  virtual void look_ahead(const StepBatch& batch, const ConstMatrix& residual) = 0;
  // `normed`: compute dtype [T][d].
  virtual void attend(const StepBatch& batch, const ConstMatrix& normed, const KvView& cache) = 0;
  // `residual`: F32 [T][d].
  virtual void project(const StepBatch& batch, const Matrix& residual) = 0;
};

}  // namespace dejavu
