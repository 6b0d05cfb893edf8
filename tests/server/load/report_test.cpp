#include "server/load/report.h"

#include <catch2/catch.hpp>

using namespace dejavu;

namespace {

LoadRecord answered(double ttft, double e2e, int tokens, std::vector<double> gaps = {}) {
  LoadRecord record;
  record.ttft = ttft;
  record.e2e = e2e;
  record.gaps = std::move(gaps);
  record.prompt_tokens = 10;
  record.completion_tokens = tokens;
  return record;
}

}  // namespace

TEST_CASE("percentiles are those of numpy.percentile") {
  LoadRun run{.seconds = 2, .records = {}};
  for (const double ttft : {0.4, 0.1, 0.3, 0.2}) run.records.push_back(answered(ttft, 1, 1));
  const LoadReport report = make_report(run, {});
  CHECK(report.ttft.mean == Approx(250));
  CHECK(report.ttft.p50 == Approx(250));
  CHECK(report.ttft.p90 == Approx(370));
  CHECK(report.ttft.p99 == Approx(397));
}

TEST_CASE("failed requests count as errors and nowhere else") {
  LoadRun run{.seconds = 2, .records = {answered(0.1, 1.1, 11, {0.1, 0.2})}};
  LoadRecord failed = answered(9, 9, 9, {9});
  failed.error = "HTTP 429";
  run.records.push_back(failed);
  run.records.push_back(failed);
  const LoadReport report = make_report(run, {});
  CHECK(report.completed == 1);
  CHECK(report.errors.at("HTTP 429") == 2);
  CHECK(report.output_tokens == 11);
  CHECK(report.input_tokens == 10);
  CHECK(report.tpot.p50 == Approx(100));
  CHECK(report.itl.mean == Approx(150));
  CHECK(report.e2el.p99 == Approx(1100));
  const auto json = to_json(report);
  CHECK(json["failed"] == 2);
  CHECK(json["output_throughput"].get<double>() == Approx(5.5));
  CHECK(json["request_goodput"].is_null());
}

TEST_CASE("goodput counts requests that meet every limit") {
  const auto limits = parse_goodput({"ttft:200", "tpot:50", "e2el:1000"});
  REQUIRE(limits);
  const LoadRun run{.seconds = 1,
                    .records = {answered(0.1, 0.5, 11), answered(0.3, 0.5, 11),
                                answered(0.1, 0.9, 2), answered(0.1, 1.2, 100)}};
  CHECK(make_report(run, *limits).good == 1);
  CHECK(to_table(make_report(run, *limits)).find("goodput") != std::string::npos);
}

TEST_CASE("a wrong goodput item is named") {
  for (const char* wrong : {"ttft", "ttft:", "ttft:x", "ttft:-1", "first:3", "ttft:1ms"}) {
    const auto limits = parse_goodput({wrong});
    REQUIRE_FALSE(limits);
    CHECK(limits.error().message.find(wrong) != std::string::npos);
  }
}

TEST_CASE("no requests, no figures, no division by zero") {
  const LoadReport report = make_report({}, {});
  CHECK(report.ttft.p99 == 0);
  CHECK(to_json(report)["request_throughput"] == 0);
}
