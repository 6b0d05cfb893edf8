#include "server/admin/sparsity_collector.h"

#include <string>
#include <utility>

#include "server/admin/metric_family.h"

namespace dejavu {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

struct BlockMetric {
  const char* name;
  MetricType type;
  const char* help;
  double (*value)(const BlockStatus&);
};

constexpr BlockMetric kBlockMetrics[] = {
    {"dejavu_sparsity_selected_units_total", MetricType::Counter,
     "Neurons (block mlp) or KV groups (block heads) in the sets of sparsely computed tokens; over "
     "the candidates this is the density",
     [](const BlockStatus& b) { return static_cast<double>(b.selected_units); }},
    {"dejavu_sparsity_candidate_units_total", MetricType::Counter,
     "Neurons or KV groups that sparsely computed tokens could have used",
     [](const BlockStatus& b) { return static_cast<double>(b.candidate_units); }},
    {"dejavu_sparsity_predicted_density_ratio", MetricType::Gauge,
     "Density expected at the default level, from calibration; 1 for a dense block",
     [](const BlockStatus& b) { return b.density; }},
    {"dejavu_sparsity_predicted_recall_ratio", MetricType::Gauge,
     "Recall expected at the default level: measured on held-out text by calibration",
     [](const BlockStatus& b) { return b.recall; }},
    {"dejavu_sparsity_audits_total", MetricType::Counter,
     "Audits: one token's block computed dense beside the sparse one",
     [](const BlockStatus& b) { return static_cast<double>(b.audits); }},
    {"dejavu_sparsity_audit_active_units_total", MetricType::Counter,
     "Truly active neurons or KV groups of audited tokens",
     [](const BlockStatus& b) { return static_cast<double>(b.audit_active_units); }},
    {"dejavu_sparsity_audit_recalled_units_total", MetricType::Counter,
     "Truly active units of audited tokens that were in the token's set; over the active ones this "
     "is the true recall",
     [](const BlockStatus& b) { return static_cast<double>(b.audit_recalled_units); }},
    {"dejavu_sparsity_audit_error_total", MetricType::Counter,
     "Relative errors of audited blocks' outputs, summed; over the audits this is the mean error",
     [](const BlockStatus& b) { return b.audit_error_sum; }},
    {"dejavu_sparsity_audit_missed_mass_total", MetricType::Counter,
     "Shares of squared contributions that audited sets left out, summed",
     [](const BlockStatus& b) { return b.audit_missed_mass_sum; }},
    {"dejavu_sparsity_audit_error_ratio", MetricType::Gauge,
     "Relative error of the block's output in recent audits, as --audit-error-limit sees it",
     [](const BlockStatus& b) { return b.audit_error; }},
    {"dejavu_sparsity_widened_total", MetricType::Counter,
     "Times the audit lowered the block's thresholds",
     [](const BlockStatus& b) { return static_cast<double>(b.widened); }},
    {"dejavu_sparsity_dense_fallbacks_total", MetricType::Counter,
     "Times the audit made the block dense until restart",
     [](const BlockStatus& b) { return b.fallen_back ? 1.0 : 0.0; }},
};

struct MethodMetric {
  const char* method;
  std::uint64_t BlockStatus::*steps;
};

constexpr MethodMetric kMethods[] = {
    {"gather", &BlockStatus::gather_steps},
    {"whole_read", &BlockStatus::whole_read_steps},
    {"skip_zeros", &BlockStatus::skip_zero_steps},
    {"dense", &BlockStatus::dense_steps},
};

prometheus::ClientMetric sample(MetricType type, double value) {
  prometheus::ClientMetric metric;
  (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  return metric;
}

// Calls `visit(block, labels)` for each block of each layer.
template <class Visit>
void each_block(const SparsityStatus& status, const Visit& visit) {
  for (std::size_t i = 0; i < status.layers.size(); ++i) {
    const std::string layer = std::to_string(i);
    visit(status.layers[i].mlp, layer, "mlp");
    visit(status.layers[i].heads, layer, "heads");
  }
}

MetricFamily block_family(const BlockMetric& metric, const SparsityStatus& status) {
  MetricFamily family{metric.name, metric.help, metric.type, {}};
  each_block(status, [&](const BlockStatus& block, const std::string& layer, const char* kind) {
    auto item = sample(metric.type, metric.value(block));
    item.label = {{"layer", layer}, {"block", kind}};
    family.metric.push_back(std::move(item));
  });
  return family;
}

MetricFamily method_family(const SparsityStatus& status) {
  MetricFamily family{"dejavu_sparsity_steps_total",
                      "Steps by how the block was computed: its union gathered, read whole under "
                      "the tokens' masks, computed zeros skipped, or dense",
                      MetricType::Counter,
                      {}};
  each_block(status, [&](const BlockStatus& block, const std::string& layer, const char* kind) {
    for (const MethodMetric& method : kMethods) {
      auto item = sample(MetricType::Counter, static_cast<double>(block.*method.steps));
      item.label = {{"layer", layer}, {"block", kind}, {"method", method.method}};
      family.metric.push_back(std::move(item));
    }
  });
  return family;
}

}  // namespace

void SparsityCollector::set_source(std::function<SparsityStatus()> source) {
  const std::lock_guard lock(mutex_);
  if (source_) last_ = source_();
  source_ = std::move(source);
}

std::vector<MetricFamily> SparsityCollector::Collect() const {
  const std::lock_guard lock(mutex_);
  if (source_) last_ = source_();
  if (last_.layers.empty()) return {};
  std::vector<MetricFamily> families;
  for (const BlockMetric& metric : kBlockMetrics) families.push_back(block_family(metric, last_));
  families.push_back(method_family(last_));
  families.push_back(counter_family("dejavu_sparsity_predictor_seconds_total",
                                    "Time spent computing predictions; on a GPU estimated from the "
                                    "audited steps",
                                    last_.predictor_seconds));
  families.push_back(counter_family("dejavu_sparsity_predictor_overlapped_seconds_total",
                                    "Part of the predictor time that ran beside other work; 0 with "
                                    "--inline-predictors",
                                    last_.overlapped_seconds));
  return families;
}

}  // namespace dejavu
