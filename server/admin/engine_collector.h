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
  void set_source(std::function<EngineStats()> source);
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  mutable std::mutex mutex_;
  std::function<EngineStats()> source_;
  mutable EngineStats last_;  // kept once the source is gone: counters never fall
};

}  // namespace dejavu
