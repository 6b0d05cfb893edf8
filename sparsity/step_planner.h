// Chooses each layer's method for a step: what the policy needs to know, gathered in one place.
// Engine thread only.
#pragma once

#include <optional>
#include <vector>

#include "engine/model/step_batch.h"
#include "sparsity/audit.h"
#include "sparsity/crossover.h"
#include "sparsity/expected_union.h"
#include "sparsity/modes.h"
#include "sparsity/sparse_step.h"

namespace dejavu {

// One step as it was planned, and what came back.
struct StepFigures {
  int tokens = 0;
  SparsityCounts modes;
  std::vector<SparsityChoice> choices;  // a token each; empty: every token is dense
  std::vector<LayerPlan> plans;
  std::vector<std::int32_t> counts;  // as SparseMemory::counts
  double predict_seconds = 0;
  double overlapped_seconds = 0;  // of these, while other ops ran
  std::optional<TokenAudit> audit;
  int audited_token = -1;

  bool sparse() const { return !choices.empty(); }
  const std::int32_t* count_of(std::size_t layer, CountKind kind) const {
    const std::size_t block = layer * kCountKinds + static_cast<std::size_t>(kind);
    return counts.data() + block * (static_cast<std::size_t>(tokens) + 1);
  }
};

class StepPlanner {
 public:
  struct Args {
    const ModelConfig& config;
    const Artifact* artifact;  // null: none
    const std::vector<std::unique_ptr<LayerModel>>& layers;
    double max_density;
    Crossover crossover;
    SparsityChoice standard;
  };
  explicit StepPlanner(const Args& args);

  // Plans the batch's layers; the audit may have made some of them dense.
  StepFigures plan(const StepBatch& batch, const Auditor& auditor) const;
  // Corrects the expected unions.
  void learn(const StepFigures& figures);

  const Crossover& crossover() const { return args_.crossover; }

 private:
  // Ways to compute a token: exact, then the artifact's threshold levels, then its lookahead
  // levels.
  std::size_t way(const SparsityChoice& choice) const;
  std::vector<int> tokens_by_way(const StepFigures& figures) const;
  std::vector<SparsityChoice> choices_of(const StepBatch& batch) const;
  LayerPlan plan_layer(int layer, const StepFigures& figures, const std::vector<int>& ways,
                       const Auditor& auditor) const;
  bool sparse_at_some_level(int layer, AuditKind kind, const std::vector<int>& ways) const;

  Args args_;
  std::size_t threshold_levels_ = 0;
  std::size_t lookahead_levels_ = 0;
  std::vector<ExpectedUnion> neurons_;  // a layer each
};

}  // namespace dejavu
