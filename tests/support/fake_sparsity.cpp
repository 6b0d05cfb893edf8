#include "tests/support/fake_sparsity.h"

namespace dejavu {

Result<SparsityChoice> FakeSparsity::resolve(const SparsityWish& wish) const {
  if (wish.target_recall && *wish.target_recall != 0.95 && *wish.target_recall != 0.98) {
    return invalid("sparsity.target_recall must be one of 0.95, 0.98", "sparsity.target_recall");
  }
  if (wish.mode == "lookahead") {
    return SparsityChoice{SparsityMode::kLookahead, wish.target_recall == 0.95 ? 0 : 1};
  }
  if (wish.mode.empty() || wish.mode == "dense") return SparsityChoice{};
  return invalid("sparsity.mode must be one of dense, lookahead", "sparsity.mode");
}

SparsityStatus FakeSparsity::status() const {
  SparsityStatus status;
  status.mode = SparsityMode::kLookahead;
  status.target_recall = 0.98;
  status.reason = "the artifact says so";
  status.allowed = {SparsityMode::kDense, SparsityMode::kLookahead};
  status.lookahead_levels = {0.95, 0.98};
  status.artifact = "models/fake/sparsity";
  status.predictor_seconds = 0.25;
  LayerStatus layer;
  layer.mlp.mode = SparsityMode::kLookahead;
  layer.mlp.density = 0.25;
  layer.mlp.recall = 0.97;
  layer.mlp.threshold_low = -1.5;
  layer.mlp.threshold_high = 2;
  layer.mlp.selected_units = 30;
  layer.mlp.candidate_units = 120;
  layer.mlp.gather_steps = 3;
  layer.mlp.audits = 2;
  layer.mlp.audit_active_units = 10;
  layer.mlp.audit_recalled_units = 9;
  layer.mlp.audit_error = layer.mlp.audit_error_sum = 0.5;
  layer.mlp.widened = 1;
  status.layers = {layer, LayerStatus{}};
  status.audits = {{0, false, .9F, .5F}};
  return status;
}

}  // namespace dejavu
