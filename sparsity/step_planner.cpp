#include "sparsity/step_planner.h"

#include <algorithm>

namespace dejavu {
namespace {

// Before the first step has told: optimistic, so that one step is spent to find out.
constexpr double kFirstGuess = 0.1;

ExpectedUnion::Shares unknown() {
  ExpectedUnion::Shares shares{};
  shares.fill(kFirstGuess);
  return shares;
}

}  // namespace

StepPlanner::StepPlanner(const Args& args) : args_(args) {
  if (args.artifact != nullptr) {
    threshold_levels_ = args.artifact->threshold_levels.size();
    lookahead_levels_ = args.artifact->lookahead_levels.size();
  }
  for (std::size_t l = 0; l < args.layers.size(); ++l) {
    std::vector<ExpectedUnion::Shares> shares{unknown()};
    if (args.artifact != nullptr) {
      for (const LevelFigures& level : args.artifact->threshold_levels)
        shares.push_back(level.mlp[l].union_density);
      for (const LevelFigures& level : args.artifact->lookahead_levels)
        shares.push_back(level.mlp[l].union_density);
    }
    neurons_.emplace_back(std::move(shares));
  }
}

std::size_t StepPlanner::way(const SparsityChoice& choice) const {
  const auto level = static_cast<std::size_t>(std::max(choice.level, 0));
  if (choice.mode == SparsityMode::kThreshold) return 1 + level;
  return choice.mode == SparsityMode::kLookahead ? 1 + threshold_levels_ + level : 0;
}

std::vector<int> StepPlanner::tokens_by_way(const StepFigures& figures) const {
  std::vector<int> ways(1 + threshold_levels_ + lookahead_levels_);
  for (const SparsityChoice& choice : figures.choices)
    if (choice.mode != SparsityMode::kDense) ++ways[way(choice)];
  return ways;
}

std::vector<SparsityChoice> StepPlanner::choices_of(const StepBatch& batch) const {
  const SparsityCounts& modes = batch.sparsity;
  if (modes.exact + modes.threshold + modes.lookahead == 0) return {};
  if (batch.choices != nullptr) return {batch.choices, batch.choices + batch.tokens};
  SparsityChoice choice{SparsityMode::kExact, -1};
  if (modes.threshold > 0) choice = {SparsityMode::kThreshold, 0};
  if (modes.lookahead > 0) choice = {SparsityMode::kLookahead, 0};
  if (args_.standard.mode == choice.mode) choice = args_.standard;
  return std::vector<SparsityChoice>(static_cast<std::size_t>(batch.tokens), choice);
}

bool StepPlanner::sparse_at_some_level(int layer, AuditKind kind,
                                       const std::vector<int>& ways) const {
  for (std::size_t level = 0; level < lookahead_levels_; ++level) {
    const LevelFigures& figures = args_.artifact->lookahead_levels[level];
    const auto& sets = kind == AuditKind::kHeads ? figures.heads : figures.mlp;
    if (ways[1 + threshold_levels_ + level] > 0 && !sets[static_cast<std::size_t>(layer)].dense)
      return true;
  }
  return false;
}

LayerPlan StepPlanner::plan_layer(int layer, const StepFigures& figures,
                                  const std::vector<int>& ways, const Auditor& auditor) const {
  const auto l = static_cast<std::size_t>(layer);
  const LayerModel& model = *args_.layers[l];
  const auto predicted = [&](bool has_predictor, AuditKind kind) {
    return has_predictor && figures.modes.lookahead > 0 && !auditor.dense({layer, kind}) &&
           sparse_at_some_level(layer, kind, ways);
  };
  LayerPlan plan;
  plan.neurons_predicted = predicted(model.neurons.has_value(), AuditKind::kNeurons);
  plan.heads_predicted = predicted(model.heads.has_value(), AuditKind::kHeads);
  plan.cutoffs = figures.modes.threshold > 0 && !model.cutoffs.empty() &&
                 !auditor.dense({layer, AuditKind::kCutoffs});
  plan.counted = figures.modes.exact + figures.modes.threshold > 0;

  const std::size_t bucket = union_bucket(figures.tokens);
  PolicyInput input;
  input.tokens = figures.modes;
  input.expected_union = input.exact_union = neurons_[l].of(ways);
  if (figures.tokens <= kMaxGatherTokens)
    input.gather_crossover = args_.crossover.gather[bucket];
  else
    input.gather_crossover = 0;
  input.exact_crossover = args_.crossover.skip_zeros[bucket];
  input.max_density = args_.max_density;
  input.layer_dense = !plan.neurons_predicted;
  plan.method = choose_mlp_method(input);
  return plan;
}

StepFigures StepPlanner::plan(const StepBatch& batch, const Auditor& auditor) const {
  StepFigures figures;
  figures.tokens = batch.tokens;
  figures.modes = batch.sparsity;
  figures.choices = choices_of(batch);
  const int layers = static_cast<int>(args_.layers.size());
  figures.plans.resize(static_cast<std::size_t>(layers));
  if (!figures.sparse()) return figures;
  const std::vector<int> ways = tokens_by_way(figures);
  for (int l = 0; l < layers; ++l)
    figures.plans[static_cast<std::size_t>(l)] = plan_layer(l, figures, ways, auditor);
  return figures;
}

void StepPlanner::learn(const StepFigures& figures) {
  if (!figures.sparse()) return;
  // A step of one way tells what that way needs.
  const std::vector<int> ways = tokens_by_way(figures);
  const auto only = std::ranges::find(ways, figures.tokens);
  if (only == ways.end()) return;
  for (std::size_t l = 0; l < figures.plans.size(); ++l) {
    const LayerPlan& plan = figures.plans[l];
    if (!plan.neurons_predicted && !plan.counted) continue;
    const CountKind kind = plan.counted ? CountKind::kActive : CountKind::kNeurons;
    const std::int32_t in_union = figures.count_of(l, kind)[figures.tokens];
    neurons_[l].observed(static_cast<std::size_t>(only - ways.begin()), figures.tokens,
                         static_cast<double>(in_union) / args_.config.ffn_size);
  }
}

}  // namespace dejavu
