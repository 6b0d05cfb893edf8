#include "server/admin/engine_collector.h"

#include "server/admin/metric_family.h"

namespace dejavu {

void EngineCollector::set_source(std::function<EngineStats()> source) {
  const std::lock_guard lock(mutex_);
  if (source_) last_ = source_();
  source_ = std::move(source);
}

std::vector<prometheus::MetricFamily> EngineCollector::Collect() const {
  const std::lock_guard lock(mutex_);
  if (source_) last_ = source_();
  const double used = last_.kv_pages_used;
  const double total = last_.kv_pages_total;
  return {
      gauge_family("dejavu_requests_running", "Sequences in the running batch", last_.running),
      gauge_family("dejavu_requests_waiting", "Sequences that wait to be scheduled", last_.waiting),
      gauge_family("dejavu_kv_cache_pages", "Pages of the KV cache", total),
      gauge_family("dejavu_kv_cache_pages_used", "KV cache pages held by live sequences", used),
      gauge_family("dejavu_kv_cache_usage_ratio", "Share of KV cache pages held by live sequences",
                   total > 0 ? used / total : 0),
      counter_family("dejavu_prefix_cache_queries_total",
                     "Prompt tokens looked up in the prefix cache",
                     static_cast<double>(last_.prefix_query_tokens)),
      counter_family("dejavu_prefix_cache_hits_total", "Prompt tokens found in the prefix cache",
                     static_cast<double>(last_.prefix_hit_tokens)),
      counter_family("dejavu_preemptions_total",
                     "Sequences preempted for want of KV cache pages and computed again",
                     static_cast<double>(last_.preemptions)),
  };
}

}  // namespace dejavu
