#include "server/admin/engine_collector.h"

#include <string>
#include <utility>

#include "engine/core/kv_page.h"
#include "server/admin/metric_family.h"

namespace dejavu {
namespace {

using prometheus::MetricFamily;

double kv_usage(const EngineStats& stats) {
  return stats.kv_pages_total > 0 ? static_cast<double>(stats.kv_pages_used) / stats.kv_pages_total
                                  : 0;
}

void add_gateway_names(const EngineStats& stats, std::vector<MetricFamily>& families) {
  families.push_back(gauge_family("vllm:num_requests_waiting",
                                  "As dejavu_requests_waiting, for inference gateways",
                                  stats.waiting));
  families.push_back(gauge_family("vllm:num_requests_running",
                                  "As dejavu_requests_running, for inference gateways",
                                  stats.running));
  families.push_back(gauge_family("vllm:kv_cache_usage_perc",
                                  "As dejavu_kv_cache_usage_ratio (0 to 1), for inference gateways",
                                  kv_usage(stats)));
  MetricFamily cache = gauge_family(
      "vllm:cache_config_info",
      "Tokens in a page of the KV cache and number of pages, for inference gateways; always 1", 1);
  cache.metric.front().label = {{"block_size", std::to_string(kKvPageTokens)},
                                {"num_gpu_blocks", std::to_string(stats.kv_pages_total)}};
  families.push_back(std::move(cache));
}

}  // namespace

void EngineCollector::set_source(std::function<EngineStats()> source) {
  const std::lock_guard lock(mutex_);
  if (source_) last_ = source_();
  source_ = std::move(source);
}

std::vector<MetricFamily> EngineCollector::Collect() const {
  const std::lock_guard lock(mutex_);
  if (source_) last_ = source_();
  std::vector<MetricFamily> families{
      gauge_family("dejavu_requests_running", "Sequences in the running batch", last_.running),
      gauge_family("dejavu_requests_waiting", "Sequences that wait to be scheduled", last_.waiting),
      gauge_family("dejavu_kv_cache_pages", "Pages of the KV cache", last_.kv_pages_total),
      gauge_family("dejavu_kv_cache_pages_used", "KV cache pages held by live sequences",
                   last_.kv_pages_used),
      gauge_family("dejavu_kv_cache_usage_ratio", "Share of KV cache pages held by live sequences",
                   kv_usage(last_)),
      counter_family("dejavu_prefix_cache_queries_total",
                     "Prompt tokens looked up in the prefix cache",
                     static_cast<double>(last_.prefix_query_tokens)),
      counter_family("dejavu_prefix_cache_hits_total", "Prompt tokens found in the prefix cache",
                     static_cast<double>(last_.prefix_hit_tokens)),
      counter_family("dejavu_preemptions_total",
                     "Sequences preempted for want of KV cache pages and computed again",
                     static_cast<double>(last_.preemptions)),
  };
  if (compat_) add_gateway_names(last_, families);
  return families;
}

}  // namespace dejavu
