#include "sparsity/tally.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "sparsity/layer_bytes.h"

namespace dejavu {
namespace {

constexpr std::size_t kEventsKept = 64;
constexpr std::size_t kAuditsKept = 64;

const std::vector<LevelFigures>& levels_of(const Artifact& artifact, SparsityMode mode) {
  return mode == SparsityMode::kThreshold ? artifact.threshold_levels : artifact.lookahead_levels;
}

void set_expected(const SetFigures& figures, SparsityMode mode, BlockStatus& block) {
  block.density = figures.density;
  block.recall = figures.recall;
  block.mode = figures.dense ? SparsityMode::kDense : mode;
}

void set_range(const std::vector<float>& thresholds, int level, int units, BlockStatus& block) {
  std::vector<float> finite;
  std::copy_n(thresholds.begin() + static_cast<std::ptrdiff_t>(level) * units, units,
              std::back_inserter(finite));
  std::erase_if(finite, [](float threshold) { return !std::isfinite(threshold); });
  if (finite.empty()) return;
  const auto [low, high] = std::ranges::minmax(finite);
  block.threshold_low = static_cast<double>(low);
  block.threshold_high = static_cast<double>(high);
}

// Adds a block's share of the step, token by token.
struct BlockStep {
  const StepFigures& figures;
  const std::int32_t* predicted;  // null: lookahead tokens have every unit
  const std::int32_t* active;     // null: so do exact and threshold tokens
  int units;
};

int selected_units(const BlockStep& step, std::size_t token) {
  const bool ahead = step.figures.choices[token].mode == SparsityMode::kLookahead;
  const std::int32_t* counts = ahead ? step.predicted : step.active;
  return counts == nullptr ? step.units : counts[token];
}

void count_tokens(const BlockStep& step, BlockStatus& block) {
  for (std::size_t t = 0; t < step.figures.choices.size(); ++t) {
    if (step.figures.choices[t].mode == SparsityMode::kDense) continue;
    block.selected_units += static_cast<std::uint64_t>(selected_units(step, t));
    block.candidate_units += static_cast<std::uint64_t>(step.units);
  }
}

void count_method(const LayerPlan& plan, LayerStatus& layer) {
  const bool selective = plan.neurons_predicted || plan.counted;
  if (!selective) {
    ++layer.mlp.dense_steps;
  } else if (plan.method == MlpMethod::kGather) {
    ++layer.mlp.gather_steps;
  } else if (plan.method == MlpMethod::kSkipZeros) {
    ++layer.mlp.skip_zero_steps;
  } else {
    ++layer.mlp.whole_read_steps;
  }
  ++(plan.heads_predicted ? layer.heads.gather_steps : layer.heads.dense_steps);
}

}  // namespace

Tally::Tally(const Args& args) : args_(args) {
  const SparsityChoice& standard = args.modes.standard();
  status_.mode = standard.mode;
  const std::vector<double>& recalls = args.modes.levels(standard.mode);
  if (standard.level >= 0)
    status_.target_recall = recalls[static_cast<std::size_t>(standard.level)];
  status_.reason = args.modes.reason();
  status_.allowed = args.modes.allowed();
  status_.lookahead_levels = args.modes.levels(SparsityMode::kLookahead);
  status_.threshold_levels = args.modes.levels(SparsityMode::kThreshold);
  status_.artifact = args.artifact_directory;
  status_.layers.resize(args.layers.size());
  for (std::size_t l = 0; l < args.layers.size(); ++l) {
    LayerStatus& layer = status_.layers[l];
    if (standard.level < 0) {
      layer.mlp.mode = standard.mode;
      continue;
    }
    const LevelFigures& level =
        levels_of(*args.artifact, standard.mode)[static_cast<std::size_t>(standard.level)];
    set_expected(level.mlp[l], standard.mode, layer.mlp);
    if (standard.mode == SparsityMode::kLookahead)
      set_expected(level.heads[l], standard.mode, layer.heads);
    read_thresholds(l);
  }
}

void Tally::read_thresholds(std::size_t layer) {
  const LayerModel& model = *args_.layers[layer];
  LayerStatus& status = status_.layers[layer];
  const SparsityChoice& standard = args_.modes.standard();
  const auto read = [&](const std::optional<DevicePredictor>& predictor, BlockStatus& block) {
    if (block.mode == SparsityMode::kLookahead && predictor)
      set_range(predictor->thresholds(), standard.level, predictor->view().units, block);
    if (block.mode == SparsityMode::kDense) block.threshold_low = block.threshold_high = 0;
  };
  read(model.neurons, status.mlp);
  read(model.heads, status.heads);
  if (status.mlp.mode == SparsityMode::kThreshold && !model.cutoffs.empty())
    set_range(model.cutoffs, standard.level, args_.config.ffn_size, status.mlp);
}

void Tally::TokenShares::add(double mlp_share, double head_share, bool detailed) {
  mlp += mlp_share;
  heads += head_share;
  if (!detailed) return;
  detail.mlp.push_back(static_cast<float>(mlp_share));
  detail.heads.push_back(static_cast<float>(head_share));
}

void Tally::step(const StepFigures& figures, std::span<TokenDensity> densities) {
  std::ranges::fill(densities, TokenDensity{});
  if (!figures.sparse()) return;
  status_.predictor_seconds += figures.predict_seconds;
  status_.overlapped_seconds += figures.overlapped_seconds;
  if (figures.audit) {
    status_.audits.push_back(*figures.audit);
    if (status_.audits.size() > kAuditsKept) status_.audits.erase(status_.audits.begin());
  }
  std::vector<TokenShares> shares(densities.size());
  for (std::size_t l = 0; l < figures.plans.size(); ++l) {
    const LayerPlan& plan = figures.plans[l];
    const auto counts = [&](bool there, CountKind kind) {
      return there ? figures.count_of(l, kind) : nullptr;
    };
    const BlockStep mlp{figures, counts(plan.neurons_predicted, CountKind::kNeurons),
                        counts(plan.counted, CountKind::kActive), args_.config.ffn_size};
    const BlockStep attention{figures, counts(plan.heads_predicted, CountKind::kHeads), nullptr,
                              args_.config.kv_heads};
    count_tokens(mlp, status_.layers[l].mlp);
    count_tokens(attention, status_.layers[l].heads);
    count_method(plan, status_.layers[l]);
    for (std::size_t t = 0; t < densities.size(); ++t) {
      shares[t].add(static_cast<double>(selected_units(mlp, t)) / mlp.units,
                    static_cast<double>(selected_units(attention, t)) / attention.units,
                    figures.choices[t].detailed);
    }
  }
  for (std::size_t t = 0; t < densities.size(); ++t) {
    if (figures.choices[t].mode == SparsityMode::kDense) continue;
    densities[t] = density_of(shares[t], figures, static_cast<int>(t));
  }
}

TokenDensity Tally::density_of(TokenShares& shares, const StepFigures& figures, int token) const {
  const auto layers = static_cast<double>(figures.plans.size());
  const SparsityChoice& choice = figures.choices[static_cast<std::size_t>(token)];
  TokenDensity density{static_cast<float>(shares.mlp / layers),
                       static_cast<float>(shares.heads / layers)};
  if (!choice.detailed) return density;
  TokenDetail& detail = shares.detail;
  detail.weight_share = static_cast<float>(weight_share(args_.config, choice.mode, density));
  if (figures.audited_token == token) detail.audit = figures.audit;
  density.detail = std::make_shared<const TokenDetail>(std::move(detail));
  return density;
}

BlockStatus& Tally::block_of(int layer, AuditKind kind) {
  LayerStatus& status = status_.layers[static_cast<std::size_t>(layer)];
  return kind == AuditKind::kHeads ? status.heads : status.mlp;
}

void Tally::audited(const AuditRecord& record, const AuditFigures& figures, double recent_error) {
  BlockStatus& block = block_of(record.layer, record.kind);
  ++block.audits;
  block.audit_active_units += static_cast<std::uint64_t>(figures.active);
  block.audit_recalled_units += static_cast<std::uint64_t>(figures.recalled);
  block.audit_error_sum += figures.relative_error;
  block.audit_missed_mass_sum += figures.missed_mass;
  block.audit_error = recent_error;
}

void Tally::changed(const Auditor::Block& changed, AuditAction action) {
  BlockStatus& block = block_of(changed.layer, changed.kind);
  const bool fallen = action == AuditAction::kMakeDense;
  char error[32];
  std::snprintf(error, sizeof error, "%.3g", block.audit_error);
  const char* what = changed.kind == AuditKind::kHeads ? " heads" : " MLP";
  status_.events.push_back(
      {++events_, "layer " + std::to_string(changed.layer) + what + ": audited error " + error +
                      " stays above its limit; " +
                      (fallen ? "computed dense until restart" : "thresholds lowered")});
  if (status_.events.size() > kEventsKept) status_.events.erase(status_.events.begin());
  if (fallen) {
    block.fallen_back = true;
    block.mode = SparsityMode::kDense;
  } else {
    ++block.widened;
  }
  read_thresholds(static_cast<std::size_t>(changed.layer));
}

}  // namespace dejavu
