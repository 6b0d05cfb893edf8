// Contextual sparsity at work: makes the model's layers, chooses how each is computed in each step,
// learns from what comes back, audits, and answers the server's questions.
//
//   runtime = SparsityRuntime(...)
//   model = Transformer::load(..., {.layers = &runtime})
//   runtime.prepare()
//   engine = Engine::create(backend, model, options, &runtime)     the runtime outlives the model
//
// Layers and steps belong to the engine thread; resolve() and status() may be called from any.
#pragma once

#include <deque>
#include <mutex>
#include <random>

#include "engine/model/layer_factory.h"
#include "engine/model/step_sparsity.h"
#include "sparsity/audit.h"
#include "sparsity/control.h"
#include "sparsity/modes.h"
#include "sparsity/sparse_step.h"
#include "sparsity/step_planner.h"
#include "sparsity/tally.h"

namespace dejavu {

class SparsityRuntime final : public LayerFactory, public StepSparsity, public SparsityControl {
 public:
  struct Parts {
    SparsityOptions options;
    std::optional<Artifact> artifact;
    std::string artifact_directory;      // for status(); empty: none
    std::optional<Crossover> crossover;  // known; else prepare() measures it
  };
  explicit SparsityRuntime(Parts parts);
  ~SparsityRuntime() override;

  // LayerFactory. Fails when the artifact does not have the model's shape, and when memory is out.
  Result<std::unique_ptr<Attention>> attention(const LayerContext& context) const override;
  Result<std::unique_ptr<Mlp>> mlp(const LayerContext& context) const override;

  // Once the model has been made, before its first step: measures the crossovers. Fails when the
  // options ask for what the model and its artifact do not make possible.
  Status prepare();

  std::size_t memory_bytes() const override;
  void begin_step(const StepBatch& batch) override;
  std::optional<ReplayKey> replay_key() const override;
  void end_step(std::span<TokenDensity> densities) override;
  void step_ended() override;

  Result<SparsityChoice> resolve(const SparsityWish& wish) const override;
  SparsityStatus status() const override;

  const SparsityChoice& standard() const { return modes_.standard(); }
  const Crossover& crossover() const { return planner_->crossover(); }

 private:
  // The layers, which the factory's const calls add to.
  struct Layers;
  // A launched step, until it has ended.
  struct Flight {
    StepFigures figures;
    std::optional<AuditRecord> audit;
    std::vector<PredictStamps> stamps;  // as SparseMemory::stamps; empty: none were taken
    std::span<TokenDensity> densities;
  };

  SparseLayer layer(const LayerContext& context) const;
  void pick_audit(const StepBatch& batch, Flight& flight);
  void judge_audit(const AuditRecord& record, StepFigures& figures);
  void estimate_predict_time(Flight& flight);
  void apply(const Auditor::Block& block, AuditAction action);

  Parts parts_;
  std::unique_ptr<Layers> layers_;
  SparsityModes modes_;
  std::optional<StepPlanner> planner_;
  std::optional<Auditor> auditor_;
  std::minstd_rand random_;
  std::deque<Flight> flights_;
  int unstamped_ = 0;  // steps with predictors since the last whose stamps were taken
  std::vector<std::pair<Auditor::Block, AuditAction>> changes_;  // before the next step

  mutable std::mutex mutex_;  // guards tally_
  std::optional<Tally> tally_;
};

}  // namespace dejavu
