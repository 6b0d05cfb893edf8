// Contextual sparsity as messages.
#include <optional>

#include "server/grpc/translate.h"

namespace dejavu {
namespace {

std::string name_of(SparsityMode mode) { return std::string(sparsity_mode_name(mode)); }

// A count pair as a ratio; nothing before anything was counted.
std::optional<double> ratio(double part, std::uint64_t whole) {
  if (whole == 0) return std::nullopt;
  return part / static_cast<double>(whole);
}

void fill_audit(const BlockStatus& block, v1::BlockAudit& out) {
  out.set_count(block.audits);
  const auto recalled = static_cast<double>(block.audit_recalled_units);
  if (const auto recall = ratio(recalled, block.audit_active_units)) out.set_recall(*recall);
  out.set_error(block.audit_error);
  if (const auto mean = ratio(block.audit_error_sum, block.audits)) out.set_mean_error(*mean);
  if (const auto mean = ratio(block.audit_missed_mass_sum, block.audits)) {
    out.set_mean_missed_mass(*mean);
  }
  out.set_widened(block.widened);
  out.set_fallen_back(block.fallen_back);
}

void fill_block(const BlockStatus& block, v1::BlockSparsity& out) {
  out.set_mode(name_of(block.mode));
  out.set_density(block.density);
  out.set_recall(block.recall);
  out.set_threshold_low(block.threshold_low);
  out.set_threshold_high(block.threshold_high);
  const auto selected = static_cast<double>(block.selected_units);
  if (const auto density = ratio(selected, block.candidate_units)) {
    out.set_measured_density(*density);
  }
  out.set_gather_steps(block.gather_steps);
  out.set_whole_read_steps(block.whole_read_steps);
  out.set_skip_zero_steps(block.skip_zero_steps);
  out.set_dense_steps(block.dense_steps);
  fill_audit(block, *out.mutable_audit());
}

void fill_detail(const TokenDetail& detail, v1::SparsityUse& out) {
  out.set_weight_share(static_cast<double>(detail.weight_share));
  v1::LayerDensities& layers = *out.mutable_layers();
  layers.mutable_mlp()->Add(detail.mlp.begin(), detail.mlp.end());
  layers.mutable_heads()->Add(detail.heads.begin(), detail.heads.end());
  if (!detail.audit) return;
  v1::TokenAudit& audit = *out.mutable_audit();
  audit.set_layer(detail.audit->layer);
  audit.set_block(detail.audit->heads ? "heads" : "mlp");
  audit.set_recall(static_cast<double>(detail.audit->recall));
  audit.set_error(static_cast<double>(detail.audit->error));
}

}  // namespace

void fill_sparsity(const SparsityUse& use, v1::SparsityUse& out) {
  out.set_mode(name_of(use.mode));
  out.set_mlp_density(use.mlp_density);
  out.set_head_density(use.head_density);
  if (use.detail != nullptr) fill_detail(*use.detail, out);
}

void fill_sparsity(const SparsityStatus& status, v1::GetSparsityResponse& out) {
  out.set_mode(name_of(status.mode));
  if (status.target_recall > 0) out.set_target_recall(status.target_recall);
  out.set_reason(status.reason);
  for (const SparsityMode mode : status.allowed) out.add_allowed(name_of(mode));
  out.mutable_lookahead_levels()->Add(status.lookahead_levels.begin(),
                                      status.lookahead_levels.end());
  out.mutable_threshold_levels()->Add(status.threshold_levels.begin(),
                                      status.threshold_levels.end());
  out.set_artifact(status.artifact);
  out.set_predictor_seconds(status.predictor_seconds);
  out.set_overlapped_seconds(status.overlapped_seconds);
  for (const LayerStatus& layer : status.layers) {
    v1::LayerSparsity& item = *out.add_layers();
    item.set_layer(out.layers_size() - 1);
    fill_block(layer.mlp, *item.mutable_mlp());
    fill_block(layer.heads, *item.mutable_heads());
  }
}

}  // namespace dejavu
