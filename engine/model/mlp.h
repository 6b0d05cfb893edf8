// The MLP seam: dense here, with contextual neuron sparsity in sparsity/. Engine thread only.
#pragma once

#include "engine/backend/backend.h"
#include "engine/model/step_batch.h"

namespace dejavu {

// One layer's MLP. A step calls, in this order:
//   look_ahead  on kSide, while the attention of the same layer runs on kMain
//   up          on kMain: reads `normed`, leaves the activations with the implementation
//   down        on kMain: adds their projection to the residual stream
// Ordering between the streams is the transformer's, as for Attention.
class Mlp {
 public:
  Mlp() = default;
  Mlp(const Mlp&) = delete;
  Mlp& operator=(const Mlp&) = delete;
  virtual ~Mlp() = default;

  // `residual`: F32 [T][d], the stream entering the attention block of this layer.
  virtual void look_ahead(const StepBatch& batch, const ConstMatrix& residual) = 0;
  // `normed`: compute dtype [T][d].
  virtual void up(const StepBatch& batch, const ConstMatrix& normed) = 0;
  // `residual`: F32 [T][d].
  virtual void down(const StepBatch& batch, const Matrix& residual) = 0;
};

}  // namespace dejavu
