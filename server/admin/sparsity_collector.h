// Counters and gauges of contextual sparsity, per layer and block kind, taken from the runtime's
// snapshot at scrape time.
#pragma once

#include <prometheus/collectable.h>

#include <functional>
#include <mutex>
#include <vector>

#include "sparsity/control.h"

namespace dejavu {

class SparsityCollector final : public prometheus::Collectable {
 public:
  void set_source(std::function<SparsityStatus()> source);
  // Nothing before there is a source: only a loaded model has layers to be labels.
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  mutable std::mutex mutex_;
  std::function<SparsityStatus()> source_;
  mutable SparsityStatus last_;  // kept once the source is gone: counters never fall
};

}  // namespace dejavu
