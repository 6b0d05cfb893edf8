// Every dejavu_* metric (design, section 7), through prometheus-cpp; with --metrics-compat a few of
// them under the names that inference gateways read, too. All label values exist from the start.
// Any thread may record.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "engine/engine.h"
#include "server/admin/options.h"
#include "server/admin/recent_values.h"
#include "sparsity/control.h"

namespace dejavu {

// One finished request, as it is counted and logged.
struct RequestRecord {
  std::string request_id, trace_id, api, model;
  // stop, length, or an error code's name in lower case (invalid_argument, cancelled …)
  std::string outcome;
  int status = 200;           // HTTP status or its equivalent
  std::string finish_reason;  // of the first choice
  int prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;
  double queue_seconds = 0, e2e_seconds = 0;
  std::optional<double> ttft_seconds, itl_seconds;  // none without a first, a second token
};

// Tokens since start, as dejavu_prompt_tokens_total and dejavu_generation_tokens_total show them.
struct TokenTotals {
  std::uint64_t prompt = 0;
  std::uint64_t generation = 0;
};

// Requests that ended since start.
struct RequestTotals {
  std::uint64_t completed = 0;  // stop, length
  std::uint64_t failed = 0;     // every other outcome
};

// Of the latest few hundred.
struct RecentLatency {
  Quantiles first_token;  // seconds
  Quantiles inter_token;
};

class Metrics {
 public:
  static std::unique_ptr<Metrics> create(const MetricsOptions& options = {});
  virtual ~Metrics() = default;

  virtual void record_request(const RequestRecord& record) = 0;
  // Tokens of a prompt that was processed (cached ones included), and tokens generated.
  virtual void record_tokens(int prompt, int generation) = 0;
  virtual TokenTotals token_totals() const = 0;
  virtual RequestTotals request_totals() const = 0;
  virtual RecentLatency recent_latency() const = 0;
  virtual void record_first_token(double seconds) = 0;
  virtual void record_inter_token(double seconds) = 0;
  virtual void record_step(const StepReport& report) = 0;
  // Static facts: model, dtype, device, build.
  virtual void set_model_info(const std::string& model, const std::string& dtype,
                              const std::string& device, int max_model_len) = 0;
  virtual void set_ready(bool ready) = 0;
  // Sampled at scrape time. An empty function detaches the engine: the last figures stay.
  virtual void set_stats_source(std::function<EngineStats()> source) = 0;
  virtual void set_sparsity_source(std::function<SparsityStatus()> source) = 0;  // likewise

  // The exposition in Prometheus text format, and its Content-Type.
  virtual std::string expose() = 0;
  static const char* content_type();
};

}  // namespace dejavu
