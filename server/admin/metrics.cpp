#include "server/admin/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <array>
#include <atomic>
#include <iterator>
#include <map>
#include <string_view>
#include <vector>

#include "server/admin/engine_collector.h"
#include "server/admin/process_collector.h"
#include "server/admin/sparsity_collector.h"

namespace dejavu {

namespace {

using prometheus::Histogram;
using Buckets = Histogram::BucketBoundaries;

constexpr std::array<const char*, 4> kApis{"completions", "chat", "grpc", "cli"};
constexpr std::array<const char*, 10> kOutcomes{"stop",
                                                "length",
                                                "invalid_argument",
                                                "unauthenticated",
                                                "not_found",
                                                "resource_exhausted",
                                                "cancelled",
                                                "internal",
                                                "unavailable",
                                                "deadline_exceeded"};

const Buckets kTtftBuckets{.001, .0025, .005, .01, .02, .04, .06, .08, .1, .25, .5,
                           .75,  1,     2.5,  5,   7.5, 10,  20,  40,  80, 160};
const Buckets kInterTokenBuckets{.0002, .0005, .001, .002, .003, .005, .0075, .01, .015, .02, .03,
                                 .04,   .05,   .075, .1,   .15,  .2,   .3,    .5,  1,    2.5};
const Buckets kRequestBuckets{.001, .005, .01, .05, .1, .25, .5, 1,   1.5, 2,   2.5,
                              5,    10,   15,  20,  30, 40,  60, 120, 240, 480, 960};
const Buckets kStepBuckets{.0002, .0005, .001, .002, .005, .01, .02, .05,
                           .1,    .2,    .3,   .5,   1,    2.5, 5};
const Buckets kBatchBuckets{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};

class PrometheusMetrics final : public Metrics {
 public:
  explicit PrometheusMetrics(const MetricsOptions& options) : engine_(options.compat) {
    auto& requests = prometheus::BuildCounter()
                         .Name("dejavu_requests_total")
                         .Help("Requests that ended, by API and outcome")
                         .Register(registry_);
    for (const char* api : kApis) {
      for (const char* outcome : kOutcomes) {
        requests_[api][outcome] = &requests.Add({{"api", api}, {"outcome", outcome}});
      }
    }
    prometheus::BuildGauge()
        .Name("dejavu_build_info")
        .Help("Version of the running build; always 1")
        .Register(registry_)
        .Add({{"version", DEJAVU_VERSION}})
        .Set(1);
  }

  void record_request(const RequestRecord& record) override {
    const auto api = requests_.find(record.api);
    if (api == requests_.end()) return;
    const auto outcome = api->second.find(record.outcome);
    if (outcome == api->second.end()) return;
    outcome->second->Increment();
    const bool completed = record.outcome == "stop" || record.outcome == "length";
    ++(completed ? completed_ : failed_);
    if (!completed) return;
    queue_.Observe(record.queue_seconds);
    e2e_.Observe(record.e2e_seconds);
  }

  void record_tokens(int prompt, int generation) override {
    prompt_tokens_.Increment(prompt);
    generation_tokens_.Increment(generation);
  }

  TokenTotals token_totals() const override {
    return {static_cast<std::uint64_t>(prompt_tokens_.Value()),
            static_cast<std::uint64_t>(generation_tokens_.Value())};
  }

  RequestTotals request_totals() const override { return {completed_, failed_}; }

  RecentLatency recent_latency() const override {
    return {recent_ttft_.quantiles(), recent_inter_token_.quantiles()};
  }

  void record_first_token(double seconds) override {
    ttft_.Observe(seconds);
    recent_ttft_.add(seconds);
  }
  void record_inter_token(double seconds) override {
    inter_token_.Observe(seconds);
    recent_inter_token_.add(seconds);
  }

  void record_step(const StepReport& report) override {
    step_.Observe(report.seconds);
    batch_.Observe(report.sequences);
  }

  void set_model_info(const std::string& model, const std::string& dtype, const std::string& device,
                      int max_model_len) override {
    prometheus::BuildGauge()
        .Name("dejavu_model_info")
        .Help("The model being served; always 1")
        .Register(registry_)
        .Add({{"model", model}, {"dtype", dtype}, {"device", device}})
        .Set(1);
    max_model_len_.Set(max_model_len);
  }

  void set_ready(bool ready) override { ready_.Set(ready ? 1 : 0); }

  void set_stats_source(std::function<EngineStats()> source) override {
    engine_.set_source(std::move(source));
  }

  void set_sparsity_source(std::function<SparsityStatus()> source) override {
    sparsity_.set_source(std::move(source));
  }

  std::string expose() override {
    std::vector<prometheus::MetricFamily> families = registry_.Collect();
    for (const prometheus::Collectable* collector :
         {static_cast<const prometheus::Collectable*>(&engine_),
          static_cast<const prometheus::Collectable*>(&sparsity_),
          static_cast<const prometheus::Collectable*>(&process_)}) {
      auto more = collector->Collect();
      std::move(more.begin(), more.end(), std::back_inserter(families));
    }
    return prometheus::TextSerializer().Serialize(families);
  }

 private:
  prometheus::Counter& counter(const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry_).Add({});
  }
  prometheus::Gauge& gauge(const char* name, const char* help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry_).Add({});
  }
  Histogram& histogram(const char* name, const char* help, const Buckets& buckets) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry_).Add({}, buckets);
  }

  prometheus::Registry registry_;
  EngineCollector engine_;
  SparsityCollector sparsity_;
  ProcessCollector process_;
  RecentValues recent_ttft_, recent_inter_token_;
  std::atomic<std::uint64_t> completed_{0}, failed_{0};
  std::map<std::string, std::map<std::string, prometheus::Counter*, std::less<>>, std::less<>>
      requests_;
  prometheus::Counter& prompt_tokens_ =
      counter("dejavu_prompt_tokens_total", "Prompt tokens of requests that began to generate");
  prometheus::Counter& generation_tokens_ =
      counter("dejavu_generation_tokens_total", "Tokens generated");
  prometheus::Gauge& ready_ = gauge("dejavu_ready", "1 while requests are accepted");
  prometheus::Gauge& max_model_len_ =
      gauge("dejavu_max_model_len_tokens", "Context length of the model being served");
  Histogram& queue_ =
      histogram("dejavu_request_queue_time_seconds",
                "Arrival of a request to its first scheduled step", kRequestBuckets);
  Histogram& ttft_ = histogram("dejavu_time_to_first_token_seconds",
                               "Arrival of a request to its first token", kTtftBuckets);
  Histogram& inter_token_ = histogram("dejavu_inter_token_latency_seconds",
                                      "Time between two tokens of a sequence", kInterTokenBuckets);
  Histogram& e2e_ = histogram("dejavu_e2e_request_latency_seconds",
                              "Arrival of a request to its end", kRequestBuckets);
  Histogram& step_ =
      histogram("dejavu_step_duration_seconds", "Duration of one engine step", kStepBuckets);
  Histogram& batch_ =
      histogram("dejavu_step_batch_size", "Sequences in one engine step", kBatchBuckets);
};

}  // namespace

std::unique_ptr<Metrics> Metrics::create(const MetricsOptions& options) {
  return std::make_unique<PrometheusMetrics>(options);
}

const char* Metrics::content_type() { return "text/plain; version=0.0.4; charset=utf-8"; }

}  // namespace dejavu
