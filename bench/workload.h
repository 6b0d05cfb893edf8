// A step's tokens and their places in the KV cache, in backend memory, for steps that are timed.
#pragma once

#include "engine/backend/backend.h"
#include "engine/model/model_config.h"
#include "engine/model/step_batch.h"

namespace dejavu {

struct WorkloadShape {
  int sequences = 1;
  int context = 1;  // KV tokens of each
  int query = 1;    // the last of them, computed in the step
  std::uint64_t seed = 1;
};

class Workload {
 public:
  // Random ids; every sequence has its own pages, the first ones of the cache.
  static Result<Workload> create(Backend& backend, const ModelConfig& config,
                                 const WorkloadShape& shape);

  const StepBatch& batch() const { return batch_; }
  int pages() const { return pages_; }  // of all sequences

 private:
  StepBatch batch_;
  int pages_ = 0;
  Buffer memory_;
};

}  // namespace dejavu
