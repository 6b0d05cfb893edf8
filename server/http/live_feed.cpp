#include "server/http/live_feed.h"

#include <nlohmann/json.hpp>

#include "server/http/sparsity_json.h"

namespace dejavu {
namespace {

using nlohmann::ordered_json;

ordered_json quantiles_json(const Quantiles& quantiles) {
  if (quantiles.count == 0) return nullptr;
  return {{"p50", quantiles.p50}, {"p95", quantiles.p95}, {"count", quantiles.count}};
}

double per_second(std::uint64_t now, std::uint64_t before, double seconds) {
  return seconds > 0 ? static_cast<double>(now - before) / seconds : 0;
}

// The share selected since `before`; null when nothing was computed sparsely.
ordered_json density(std::uint64_t selected, std::uint64_t candidates) {
  if (candidates == 0) return nullptr;
  return static_cast<double>(selected) / static_cast<double>(candidates);
}

double unix_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

LiveFeed::Reading LiveFeed::latest() {
  const std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  const bool first = reading_.number == 0;
  if (!first && now - read_at_ < kInterval) return reading_;
  const double seconds = first ? 0 : std::chrono::duration<double>(now - read_at_).count();
  reading_ = {reading_.number + 1, std::make_shared<const std::string>(read(seconds))};
  read_at_ = now;
  return reading_;
}

LiveFeed::Seat LiveFeed::take_seat() {
  if (listeners_.fetch_add(1) >= kMaxListeners) {
    --listeners_;
    return nullptr;
  }
  return {this, [this](const void*) { --listeners_; }};
}

std::string LiveFeed::read(double seconds) {
  const EngineStats engine = service_.engine_stats();
  const TokenTotals tokens = metrics_.token_totals();
  const RequestTotals requests = metrics_.request_totals();
  const RecentLatency latency = metrics_.recent_latency();
  ordered_json json = {
      {"object", "live"},
      {"time", unix_seconds()},
      {"seconds", seconds},
      {"state", state_name(service_.state())},
      {"requests",
       {{"running", engine.running},
        {"waiting", engine.waiting},
        {"completed", requests.completed},
        {"failed", requests.failed}}},
      {"tokens",
       {{"prompt", tokens.prompt},
        {"generated", tokens.generation},
        {"prompt_per_second", per_second(tokens.prompt, last_tokens_.prompt, seconds)},
        {"generated_per_second", per_second(tokens.generation, last_tokens_.generation, seconds)}}},
      {"kv", {{"used", engine.kv_pages_used}, {"total", engine.kv_pages_total}}},
      {"latency",
       {{"first_token", quantiles_json(latency.first_token)},
        {"inter_token", quantiles_json(latency.inter_token)}}},
      {"sparsity", nullptr}};
  last_tokens_ = tokens;
  const auto status = service_.sparsity_status();
  if (!status) return json.dump();

  ordered_json mlp = ordered_json::array();
  ordered_json heads = ordered_json::array();
  last_layers_.resize(status->layers.size());
  for (std::size_t l = 0; l < status->layers.size(); ++l) {
    const BlockStatus& neurons = status->layers[l].mlp;
    const BlockStatus& groups = status->layers[l].heads;
    LayerCounts& last = last_layers_[l];
    mlp.push_back(density(neurons.selected_units - last.mlp_selected,
                          neurons.candidate_units - last.mlp_candidates));
    heads.push_back(density(groups.selected_units - last.head_selected,
                            groups.candidate_units - last.head_candidates));
    last = {neurons.selected_units, neurons.candidate_units, groups.selected_units,
            groups.candidate_units};
  }
  ordered_json audits = ordered_json::array();
  for (const TokenAudit& audit : status->audits) audits.push_back(token_audit_json(audit));
  json["sparsity"] = {{"mode", sparsity_mode_name(status->mode)},
                      {"mlp", std::move(mlp)},
                      {"heads", std::move(heads)},
                      {"audits", std::move(audits)}};
  return json.dump();
}

}  // namespace dejavu
