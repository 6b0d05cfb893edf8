// process_*: what the operating system says of this process, read at scrape time. The names are
// those of the Prometheus client libraries.
#pragma once

#include <prometheus/collectable.h>

#include <vector>

namespace dejavu {

class ProcessCollector final : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override;
};

}  // namespace dejavu
