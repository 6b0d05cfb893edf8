// Metric families of one value without labels, for collectors that read at scrape time.
#pragma once

#include <prometheus/metric_family.h>

#include <string>

namespace dejavu {

inline prometheus::MetricFamily gauge_family(std::string name, std::string help, double value) {
  prometheus::ClientMetric metric;
  metric.gauge.value = value;
  return {std::move(name), std::move(help), prometheus::MetricType::Gauge, {std::move(metric)}};
}

inline prometheus::MetricFamily counter_family(std::string name, std::string help, double value) {
  prometheus::ClientMetric metric;
  metric.counter.value = value;
  return {std::move(name), std::move(help), prometheus::MetricType::Counter, {std::move(metric)}};
}

}  // namespace dejavu
