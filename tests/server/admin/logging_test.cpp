#include "server/admin/logging.h"

#include <spdlog/sinks/ostream_sink.h>

#include <catch2/catch.hpp>
#include <sstream>

#include "server/admin/request_log.h"

using namespace dejavu;

namespace {

// What `work` logs in a format.
template <class Work>
std::string logged(bool json, const Work& work) {
  std::ostringstream out;
  auto previous = spdlog::default_logger();
  auto logger = std::make_shared<spdlog::logger>(
      "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(out));
  logger->set_formatter(make_log_formatter(json));
  spdlog::set_default_logger(logger);
  work();
  spdlog::set_default_logger(previous);
  return out.str();
}

RequestRecord record() {
  RequestRecord r;
  r.request_id = "id-1";
  r.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
  r.api = "chat";
  r.model = "demo";
  r.outcome = r.finish_reason = "stop";
  r.prompt_tokens = 7;
  r.cached_tokens = 2;
  r.completion_tokens = 5;
  r.queue_seconds = 0.0015;
  r.ttft_seconds = 0.02;
  r.itl_seconds = 0.003;
  r.e2e_seconds = 0.5;
  return r;
}

}  // namespace

TEST_CASE("a request is one JSON line with every field, also when the prompt is hostile") {
  const std::string prompt = "a \"quoted\"\nline\t\x1f{} \xff end";
  const std::string line = logged(true, [&] { log_request(record(), prompt); });
  REQUIRE(std::count(line.begin(), line.end(), '\n') == 1);
  const auto json = nlohmann::json::parse(line);
  CHECK(json["level"] == "info");
  CHECK(json["message"] == "request");
  CHECK(json["request_id"] == "id-1");
  CHECK(json["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736");
  CHECK(json["api"] == "chat");
  CHECK(json["model"] == "demo");
  CHECK(json["status"] == 200);
  CHECK(json["finish_reason"] == "stop");
  CHECK(json["prompt_tokens"] == 7);
  CHECK(json["cached_tokens"] == 2);
  CHECK(json["completion_tokens"] == 5);
  CHECK(json["queue_ms"] == 1.5);
  CHECK(json["ttft_ms"] == 20.0);
  CHECK(json["itl_ms"] == 3.0);
  CHECK(json["e2e_ms"] == 500.0);
  CHECK(json["prompt"] == "a \"quoted\"\nline\t\x1f{} \xef\xbf\xbd end");
  CHECK_THAT(json["time"].get<std::string>(), Catch::Matches(R"(\d{4}-\d\d-\d\dT[\d:.]{12}Z)"));
}

TEST_CASE("times of tokens that were never made are null") {
  RequestRecord none = record();
  none.ttft_seconds = none.itl_seconds = {};
  const auto json = nlohmann::json::parse(logged(true, [&] { log_request(none, {}); }));
  CHECK(json["ttft_ms"].is_null());
  CHECK(json["itl_ms"].is_null());
  CHECK(json["e2e_ms"] == 500.0);
}

TEST_CASE("without --log-prompts the prompt is not in the line") {
  for (const bool json : {false, true}) {
    const std::string line = logged(json, [] { log_request(record(), std::nullopt); });
    CHECK(line.find("\"prompt\"") == std::string::npos);
    CHECK(line.find(" prompt=") == std::string::npos);
  }
}

TEST_CASE("a text line cannot be forged by a value") {
  RequestRecord r = record();
  r.model = "x\n2026-01-01T00:00:00.000Z info request";
  const std::string line = logged(false, [&] { log_request(r, std::nullopt); });
  CHECK(std::count(line.begin(), line.end(), '\n') == 1);
  CHECK_THAT(line, Catch::Contains("request_id=id-1") && Catch::Contains("queue_ms=1.5"));
}

TEST_CASE("ordinary lines work in both formats, whatever they hold") {
  const std::string text = "plain \x1f {\"a\": 1 \"quoted\"";
  const auto json = nlohmann::json::parse(logged(true, [&] { spdlog::warn("{}", text); }));
  CHECK(json["message"] == text);
  CHECK(json["level"] == "warning");
  CHECK_THAT(logged(false, [&] { spdlog::error("{}", text); }),
             Catch::Contains("error") && Catch::EndsWith(text + "\n"));
}
