#include "server/admin/metrics.h"

#include <catch2/catch.hpp>
#include <map>
#include <sstream>
#include <string>
#include <thread>

#include "tests/support/fake_sparsity.h"

using namespace dejavu;

namespace {

// Every sample of an exposition, by name and labels.
std::map<std::string, double> samples(const std::string& exposition) {
  std::map<std::string, double> out;
  std::istringstream lines(exposition);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] == '#') continue;
    const std::size_t space = line.rfind(' ');
    out[line.substr(0, space)] = std::stod(line.substr(space + 1));
  }
  return out;
}

}  // namespace

TEST_CASE("every label value is there from the start, at zero") {
  const auto metrics = Metrics::create();
  const auto all = samples(metrics->expose());
  for (const char* api : {"completions", "chat", "grpc", "cli"}) {
    for (const char* outcome :
         {"stop", "length", "invalid_argument", "unauthenticated", "not_found",
          "resource_exhausted", "cancelled", "internal", "unavailable", "deadline_exceeded"}) {
      const std::string name =
          std::string("dejavu_requests_total{api=\"") + api + "\",outcome=\"" + outcome + "\"}";
      REQUIRE(all.count(name) == 1);
      CHECK(all.at(name) == 0);
    }
  }
  for (const char* name :
       {"dejavu_ready", "dejavu_requests_running", "dejavu_requests_waiting",
        "dejavu_prompt_tokens_total", "dejavu_generation_tokens_total", "dejavu_kv_cache_pages",
        "dejavu_kv_cache_pages_used", "dejavu_prefix_cache_queries_total",
        "dejavu_prefix_cache_hits_total", "dejavu_preemptions_total",
        "dejavu_inter_token_latency_seconds_bucket{le=\"0.0002\"}",
        "dejavu_time_to_first_token_seconds_count", "dejavu_request_queue_time_seconds_count",
        "dejavu_e2e_request_latency_seconds_count", "dejavu_step_duration_seconds_count",
        "dejavu_step_batch_size_count"}) {
    CAPTURE(name);
    CHECK(all.count(name) == 1);
  }
  CHECK(all.at("process_cpu_seconds_total") >= 0);
  CHECK(all.at("process_resident_memory_bytes") > 1e6);
  CHECK(all.at("process_virtual_memory_bytes") > all.at("process_resident_memory_bytes"));
  CHECK(all.at("process_open_fds") >= 3);
  CHECK(all.at("process_max_fds") >= all.at("process_open_fds"));
  CHECK(all.at("process_threads") >= 1);
  const double age = static_cast<double>(std::time(nullptr)) - all.at("process_start_time_seconds");
  CHECK(age > -2);
  CHECK(age < 3600);
}

TEST_CASE("requests, tokens and steps are counted") {
  const auto metrics = Metrics::create();
  RequestRecord record;
  record.api = "chat";
  record.outcome = "stop";
  record.e2e_seconds = 0.2;
  metrics->record_request(record);
  record.outcome = "cancelled";
  metrics->record_request(record);
  metrics->record_tokens(10, 0);
  metrics->record_tokens(0, 3);
  metrics->record_first_token(0.05);
  metrics->record_inter_token(0.0003);
  metrics->record_step({0.01, 5, 2, 3, 0});
  metrics->set_ready(true);
  metrics->set_model_info("m\"o\ndel", "bfloat16", "cpu", 1024);
  const auto all = samples(metrics->expose());
  CHECK(all.at("dejavu_requests_total{api=\"chat\",outcome=\"stop\"}") == 1);
  CHECK(all.at("dejavu_requests_total{api=\"chat\",outcome=\"cancelled\"}") == 1);
  CHECK(all.at("dejavu_e2e_request_latency_seconds_count") == 1);  // of requests that succeeded
  CHECK(all.at("dejavu_prompt_tokens_total") == 10);
  CHECK(all.at("dejavu_generation_tokens_total") == 3);
  CHECK(metrics->token_totals().prompt == 10);
  CHECK(metrics->token_totals().generation == 3);
  CHECK(all.at("dejavu_time_to_first_token_seconds_count") == 1);
  CHECK(all.at("dejavu_inter_token_latency_seconds_bucket{le=\"0.0002\"}") == 0);
  CHECK(all.at("dejavu_inter_token_latency_seconds_bucket{le=\"0.0005\"}") == 1);
  CHECK(all.at("dejavu_step_batch_size_sum") == 3);
  CHECK(all.at("dejavu_ready") == 1);
  CHECK(all.at("dejavu_max_model_len_tokens") == 1024);
  CHECK_THAT(metrics->expose(), Catch::Contains("dejavu_model_info{") &&
                                    Catch::Contains("model=\"m\\\"o\\ndel\"") &&
                                    Catch::Contains("dejavu_build_info{version=\""));
}

TEST_CASE("the engine's figures are read at scrape time and never fall when it goes") {
  const auto metrics = Metrics::create();
  EngineStats stats;
  stats.kv_pages_total = 10;
  metrics->set_stats_source([&] {
    stats.preemptions += 1;
    stats.kv_pages_used = 5;
    return stats;
  });
  CHECK(samples(metrics->expose()).at("dejavu_preemptions_total") == 1);
  CHECK(samples(metrics->expose()).at("dejavu_preemptions_total") == 2);
  CHECK(samples(metrics->expose()).at("dejavu_kv_cache_usage_ratio") == 0.5);
  metrics->set_stats_source(nullptr);
  CHECK(samples(metrics->expose()).at("dejavu_preemptions_total") >= 3);
}

TEST_CASE("a gateway's names stand beside ours, when asked for") {
  CHECK_THAT(Metrics::create()->expose(), !Catch::Contains("vllm:"));
  const auto metrics = Metrics::create({true});
  metrics->set_stats_source([] {
    EngineStats stats;
    stats.running = 3;
    stats.waiting = 2;
    stats.kv_pages_total = 8;
    stats.kv_pages_used = 2;
    return stats;
  });
  const auto all = samples(metrics->expose());
  CHECK(all.at("vllm:num_requests_running") == 3);
  CHECK(all.at("vllm:num_requests_waiting") == 2);
  CHECK(all.at("vllm:kv_cache_usage_perc") == 0.25);
  CHECK(all.at("vllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"8\"}") == 1);
  CHECK(all.at("dejavu_requests_running") == 3);
}

TEST_CASE("contextual sparsity: every layer, block kind and method from the start") {
  const auto metrics = Metrics::create();
  CHECK_THAT(metrics->expose(), !Catch::Contains("dejavu_sparsity"));
  FakeSparsity sparsity;
  metrics->set_sparsity_source([&] { return sparsity.status(); });
  const auto all = samples(metrics->expose());
  for (const std::string layer : {"0", "1"}) {
    for (const std::string block : {"mlp", "heads"}) {
      const std::string labels = "layer=\"" + layer + "\",block=\"" + block + "\"";
      CAPTURE(labels);
      for (const char* name :
           {"selected_units_total", "candidate_units_total", "predicted_density_ratio",
            "predicted_recall_ratio", "audits_total", "audit_active_units_total",
            "audit_recalled_units_total", "audit_error_total", "audit_missed_mass_total",
            "audit_error_ratio", "widened_total", "dense_fallbacks_total"}) {
        CAPTURE(name);
        CHECK(all.count("dejavu_sparsity_" + (name + ("{" + labels + "}"))) == 1);
      }
      for (const char* method : {"gather", "whole_read", "skip_zeros", "dense"}) {
        CHECK(all.count("dejavu_sparsity_steps_total{" + labels + ",method=\"" + method + "\"}") ==
              1);
      }
    }
  }
  const std::string first = "{layer=\"0\",block=\"mlp\"}";
  CHECK(all.at("dejavu_sparsity_selected_units_total" + first) == 30);
  CHECK(all.at("dejavu_sparsity_candidate_units_total" + first) == 120);
  CHECK(all.at("dejavu_sparsity_audit_recalled_units_total" + first) == 9);
  CHECK(all.at("dejavu_sparsity_predicted_recall_ratio" + first) == 0.97);
  CHECK(all.at("dejavu_sparsity_steps_total{layer=\"0\",block=\"mlp\",method=\"gather\"}") == 3);
  CHECK(all.at("dejavu_sparsity_predictor_seconds_total") == 0.25);
  CHECK(all.at("dejavu_sparsity_predictor_overlapped_seconds_total") == 0);
  metrics->set_sparsity_source(nullptr);
  CHECK(samples(metrics->expose()).at("dejavu_sparsity_selected_units_total" + first) == 30);
}

TEST_CASE("recording and scraping at once is safe and loses nothing") {
  const auto metrics = Metrics::create();
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) {
        metrics->record_tokens(1, 2);
        metrics->record_inter_token(0.001);
      }
    });
  }
  for (int i = 0; i < 10; ++i) metrics->expose();
  for (std::thread& thread : threads) thread.join();
  CHECK(metrics->token_totals().prompt == 3000);
  CHECK(samples(metrics->expose()).at("dejavu_inter_token_latency_seconds_count") == 3000);
}

TEST_CASE("the content type is one a Prometheus 3 server parses") {
  CHECK(std::string(Metrics::content_type()) == "text/plain; version=0.0.4; charset=utf-8");
}
