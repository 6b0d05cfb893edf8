#include "server/http/sparsity_json.h"

#include <cmath>
#include <utility>

namespace dejavu {
namespace {

using nlohmann::ordered_json;

// Four decimals: what a client compares and a page shows.
double rounded(double density) { return std::round(density * 1e4) / 1e4; }

ordered_json rounded(const std::vector<float>& densities) {
  ordered_json list = ordered_json::array();
  for (const float density : densities) list.push_back(rounded(static_cast<double>(density)));
  return list;
}

// A count pair as a ratio; null before anything was counted.
ordered_json ratio(double part, std::uint64_t whole) {
  if (whole == 0) return nullptr;
  return part / static_cast<double>(whole);
}

ordered_json block_json(const BlockStatus& block) {
  const auto active = static_cast<double>(block.audit_recalled_units);
  return {
      {"mode", sparsity_mode_name(block.mode)},
      {"density", block.density},
      {"recall", block.recall},
      {"thresholds", {{"low", block.threshold_low}, {"high", block.threshold_high}}},
      {"measured_density", ratio(static_cast<double>(block.selected_units), block.candidate_units)},
      {"steps",
       {{"gather", block.gather_steps},
        {"whole_read", block.whole_read_steps},
        {"skip_zeros", block.skip_zero_steps},
        {"dense", block.dense_steps}}},
      {"audit",
       {{"count", block.audits},
        {"recall", ratio(active, block.audit_active_units)},
        {"error", block.audit_error},
        {"mean_error", ratio(block.audit_error_sum, block.audits)},
        {"mean_missed_mass", ratio(block.audit_missed_mass_sum, block.audits)},
        {"widened", block.widened},
        {"fallen_back", block.fallen_back}}}};
}

ordered_json text_or_null(const std::string& text) {
  return text.empty() ? ordered_json() : ordered_json(text);
}

}  // namespace

std::string sparsity_header(const SparsityUse& use) {
  const auto number = [](double density) { return ordered_json(rounded(density)).dump(); };
  return std::string(sparsity_mode_name(use.mode)) + "; mlp_density=" + number(use.mlp_density) +
         "; head_density=" + number(use.head_density);
}

ordered_json sparsity_json(const SparsityUse& use) {
  ordered_json json = {{"mode", sparsity_mode_name(use.mode)},
                       {"mlp_density", rounded(use.mlp_density)},
                       {"head_density", rounded(use.head_density)}};
  if (!use.detail) return json;
  json["weight_share"] = rounded(static_cast<double>(use.detail->weight_share));
  json["layers"] = {{"mlp", rounded(use.detail->mlp)}, {"heads", rounded(use.detail->heads)}};
  if (const auto& audit = use.detail->audit) json["audit"] = token_audit_json(*audit);
  return json;
}

ordered_json token_audit_json(const TokenAudit& audit) {
  return {{"layer", audit.layer},
          {"block", audit.heads ? "heads" : "mlp"},
          {"recall", rounded(static_cast<double>(audit.recall))},
          {"error", rounded(static_cast<double>(audit.error))}};
}

ordered_json sparsity_status_json(const SparsityStatus& status) {
  ordered_json allowed = ordered_json::array();
  for (const SparsityMode mode : status.allowed) allowed.push_back(sparsity_mode_name(mode));
  ordered_json layers = ordered_json::array();
  for (const LayerStatus& layer : status.layers) {
    layers.push_back({{"layer", layers.size()},
                      {"mlp", block_json(layer.mlp)},
                      {"heads", block_json(layer.heads)}});
  }
  return {
      {"object", "sparsity"},
      {"mode", sparsity_mode_name(status.mode)},
      {"target_recall", status.target_recall > 0 ? ordered_json(status.target_recall) : nullptr},
      {"reason", status.reason},
      {"allowed", std::move(allowed)},
      {"levels", {{"lookahead", status.lookahead_levels}, {"threshold", status.threshold_levels}}},
      {"artifact", text_or_null(status.artifact)},
      {"predictor",
       {{"seconds", status.predictor_seconds}, {"overlapped_seconds", status.overlapped_seconds}}},
      {"layers", std::move(layers)}};
}

}  // namespace dejavu
