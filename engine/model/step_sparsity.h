// What the step loop tells and asks of the layers' contextual sparsity. Implemented in sparsity/;
// without one every token is dense. Engine thread only.
#pragma once

#include <optional>
#include <span>

#include "engine/backend/backend.h"
#include "engine/model/sparsity_choice.h"
#include "engine/model/step_batch.h"

namespace dejavu {

class StepSparsity {
 public:
  StepSparsity() = default;
  StepSparsity(const StepSparsity&) = delete;
  StepSparsity& operator=(const StepSparsity&) = delete;
  virtual ~StepSparsity() = default;

  // Backend memory it has taken, beside the model's.
  virtual std::size_t memory_bytes() const = 0;
  // Before Transformer::forward of this batch: chooses each layer's method for the step.
  virtual void begin_step(const StepBatch& batch) = 0;
  // What the step's ops follow from, beside the batch's shape; absent when they do more than that
  // (an audit brings figures back), so that the step cannot be a recording.
  virtual std::optional<ReplayKey> replay_key() const = 0;
  // After forward: queues what brings the figures back. `densities`: host, one a token, written by
  // this step's step_ended(); stays in place until then. May be empty: nobody asks.
  virtual void end_step(std::span<TokenDensity> densities) = 0;
  // Once the step has been waited for, in step order: learns from its counts and its audit.
  virtual void step_ended() = 0;
};

}  // namespace dejavu
