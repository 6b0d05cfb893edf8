// The figures of the live view: one reading, and the stream.
#include "server/http/live_feed.h"
#include "tests/server/http/server_fixture.h"

using nlohmann::json;

namespace dejavu {
namespace {

const std::string kAsk = "GET /v1/live HTTP/1.1\r\nHost: x\r\nAccept: application/x-ndjson\r\n\r\n";

// The JSON of the first reading in what came.
json first_line(const std::string& text) {
  const std::size_t from = text.find("{\"object\"");
  REQUIRE(from != std::string::npos);
  return json::parse(text.substr(from, text.find('\n', from) - from));
}

}  // namespace

TEST_CASE("one reading says what the server does") {
  HttpFixture http;
  EngineStats stats;
  stats.running = 3;
  stats.waiting = 2;
  stats.kv_pages_used = 10;
  stats.kv_pages_total = 40;
  http.service.set_engine_stats(stats);
  http.metrics->record_tokens(5, 7);
  http.metrics->record_first_token(0.25);
  RequestRecord record;
  record.api = "chat";
  record.outcome = "stop";
  http.metrics->record_request(record);
  record.outcome = "internal";
  http.metrics->record_request(record);
  const json live = http.get("/v1/live").json();
  CHECK(live["object"] == "live");
  CHECK(live["state"] == "ready");
  CHECK(live["requests"] == json::parse(R"({"running":3,"waiting":2,"completed":1,"failed":1})"));
  CHECK(live["tokens"]["prompt"] == 5);
  CHECK(live["tokens"]["generated"] == 7);
  CHECK(live["kv"] == json::parse(R"({"used":10,"total":40})"));
  CHECK(live["latency"]["first_token"] == json::parse(R"({"p50":0.25,"p95":0.25,"count":1})"));
  CHECK(live["latency"]["inter_token"].is_null());
  CHECK(live["sparsity"]["mlp"] == json::parse("[0.25,null]"));  // 30 of 120 units
  CHECK(live["sparsity"]["heads"] == json::parse("[null,null]"));
  CHECK(live["sparsity"]["audits"][0]["block"] == "mlp");
}

TEST_CASE("readings follow each other, and densities are of the time between them") {
  const HttpFixture http;
  HttpClient client = http.connect();
  client.send(kAsk);
  const std::string head = client.read_until("\r\n\r\n");
  CHECK_THAT(head, Catch::Contains("application/x-ndjson"));
  CHECK_THAT(head, Catch::Contains("X-Accel-Buffering: no"));
  const json first = first_line(client.read_until("}\n"));
  const json second = first_line(client.read_until("}\n"));
  CHECK(first["seconds"] == 0);
  CHECK(second["seconds"] >= 0.5);
  CHECK(first["sparsity"]["mlp"][0] == 0.25);
  CHECK(second["sparsity"]["mlp"][0].is_null());  // nothing was computed in between
}

TEST_CASE("quantiles are those of the latest values") {
  RecentValues values;
  CHECK(values.quantiles().count == 0);
  for (int i = 0; i < 100; ++i) values.add(1000);
  for (std::size_t i = 1; i <= RecentValues::kKept; ++i) values.add(static_cast<double>(i));
  const Quantiles quantiles = values.quantiles();
  CHECK(quantiles.count == RecentValues::kKept);
  CHECK(quantiles.p50 == Approx(256));
  CHECK(quantiles.p95 == Approx(486).margin(1));
}

TEST_CASE("listeners are bounded, and a seat is free again when one leaves") {
  const HttpFixture http;
  std::vector<std::unique_ptr<HttpClient>> listeners;
  for (int i = 0; i < LiveFeed::kMaxListeners; ++i) {
    listeners.push_back(std::make_unique<HttpClient>(http.server->port()));
    listeners.back()->send(kAsk);
    listeners.back()->read_until("}\n");
  }
  HttpClient late = http.connect();
  late.send(kAsk);
  const HttpReply refused = late.read_reply();
  CHECK(refused.status == 429);
  CHECK(refused.json()["error"]["code"] == "too_many_listeners");
  CHECK_FALSE(refused.header("retry-after").empty());
  CHECK(late.get("/v1/live").status == 200);  // one reading needs no seat
  listeners.clear();
  int status = 429;
  for (int tries = 0; status == 429 && tries < 500; ++tries) {
    HttpClient next = http.connect();
    next.send(kAsk);
    status = next.read_until("\r\n").find("200") != std::string::npos ? 200 : 429;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  CHECK(status == 200);
}

TEST_CASE("a stopping server ends the stream properly") {
  HttpFixture http;
  HttpClient client = http.connect();
  client.send(kAsk);
  client.read_until("}\n");
  http.server->stop();
  client.read_until("\r\n0\r\n\r\n");
  CHECK(client.closed_by_server());
}

}  // namespace dejavu
