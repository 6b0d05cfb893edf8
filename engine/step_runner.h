// Puts plans on the device: uploads the metadata, runs the model and the sampler, and brings the
// outputs back. Steps are launched and collected in order; a second one may be launched before the
// first is collected. Used by the engine thread only.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/kv/kv_cache.h"
#include "engine/model/step_sparsity.h"
#include "engine/model/transformer.h"
#include "engine/schedule/batch_builder.h"
#include "engine/schedule/step_plan.h"

namespace dejavu {

class StepRunner {
 public:
  struct Parts {
    Backend& backend;
    Transformer& model;
    KvCache cache;
    BatchBuilder::Limits limits;
    StepSparsity* sparsity = nullptr;  // null: every token is dense
  };
  struct Collected {
    StepPlan plan;
    std::vector<SampleOutput> outputs;    // one a logit row
    std::vector<TokenDensity> densities;  // one a token; empty: all dense
    double seconds = 0;                   // from launch, or from the end of the step before it
  };

  static Result<std::unique_ptr<StepRunner>> create(Parts parts);

  void launch(StepPlan plan);
  // Waits for the oldest launched step.
  Result<Collected> collect();
  int in_flight() const { return static_cast<int>(flights_.size()); }

 private:
  using Clock = std::chrono::steady_clock;
  // Everything a launched step reads from or writes to on the host.
  struct Flight {
    StepPlan plan;
    BatchBuilder batch;
    std::vector<SampleOutput> outputs;
    std::vector<TokenDensity> densities;
    std::uint64_t mark = 0;
    Clock::time_point launched;
  };

  StepRunner(Parts parts, Buffer metadata, Buffer last_tokens)
      : parts_(std::move(parts)),
        metadata_(std::move(metadata)),
        last_tokens_(std::move(last_tokens)) {}

  void set_slots(const StepPlan& plan);
  ConstMatrix forward(const StepBatch& batch);
  // What a step of one token a sequence can be recorded under; absent: not recorded.
  std::optional<ReplayKey> replay_key(const StepBatch& batch) const;

  Parts parts_;
  Buffer metadata_;                          // steps run in order, so one serves all
  Buffer last_tokens_;                       // int32 [slots]
  std::map<ReplayKey, ConstMatrix> logits_;  // of recorded steps
  std::deque<Flight> flights_;
  Clock::time_point last_end_;
};

}  // namespace dejavu
