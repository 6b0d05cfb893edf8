// Every dejavu_* metric (design, section 7), through prometheus-cpp. All label values exist from
// the start. Any thread may record.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "engine/engine.h"

namespace dejavu {

// One finished request, as it is counted and logged.
struct RequestRecord {
  std::string request_id, trace_id, api, model;
  std::string outcome;        // stop, length, cancelled, or an error code's name in lower case
  int status = 200;           // HTTP status or its equivalent
  std::string finish_reason;  // of the first choice
  int prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;
  double queue_seconds = 0, ttft_seconds = 0, itl_seconds = 0, e2e_seconds = 0;
};

class Metrics {
 public:
  static std::unique_ptr<Metrics> create();
  virtual ~Metrics() = default;

  virtual void record_request(const RequestRecord& record) = 0;
  virtual void record_first_token(double seconds) = 0;
  virtual void record_inter_token(double seconds) = 0;
  virtual void record_step(const StepReport& report) = 0;
  // Static facts: model, dtype, device, build.
  virtual void set_model_info(const std::string& model, const std::string& dtype,
                              const std::string& device, int max_model_len) = 0;
  // Sampled at scrape time.
  virtual void set_stats_source(std::function<EngineStats()> source) = 0;

  // The exposition in Prometheus text format, and its Content-Type.
  virtual std::string expose() = 0;
  static const char* content_type();
};

}  // namespace dejavu
