// Gauges and counters taken from the engine's snapshot at scrape time.
#pragma once

#include <prometheus/collectable.h>

#include <functional>
#include <mutex>
#include <vector>

#include "engine/engine.h"

namespace dejavu {

class EngineCollector final : public prometheus::Collectable {
 public:
  // `compat`: a part of it under vLLM's names too, as the endpoint picker of the Gateway API
  // Inference Extension expects them.
  explicit EngineCollector(bool compat) : compat_(compat) {}
  void set_source(std::function<EngineStats()> source);
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const bool compat_;
  mutable std::mutex mutex_;
  std::function<EngineStats()> source_;
  mutable EngineStats last_;  // kept once the source is gone: counters never fall
};

}  // namespace dejavu
