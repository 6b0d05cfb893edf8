// Models, tokenizer, template, probes and metrics.
#include "tests/server/http/server_fixture.h"

using nlohmann::json;

namespace dejavu {

TEST_CASE("model cards, by list and by an id with slashes") {
  const HttpFixture http;
  const json list = http.get("/v1/models").json();
  CHECK(list["object"] == "list");
  REQUIRE(list["data"].size() == 2);
  CHECK(list["data"][0] == json::parse(R"({"id":"fake/model","object":"model","created":1700000000,
      "owned_by":"dejavu","root":"models/fake","parent":null,"max_model_len":2048})"));
  CHECK(http.get("/models/").json() == list);
  CHECK(http.get("/v1/models/fake/model").json() == list["data"][0]);
  CHECK(http.get("/v1/models/fake%2Fmodel?x=1").json() == list["data"][0]);
  const HttpReply unknown = http.get("/v1/models/other");
  CHECK(unknown.status == 404);
  CHECK(unknown.json()["error"]["code"] == "model_not_found");
}

TEST_CASE("tokenize and detokenize speak vLLM's and llama.cpp's bodies") {
  const HttpFixture http;
  CHECK(http.post("/tokenize", R"({"prompt":"ab"})").json() ==
        json::parse(R"({"count":3,"max_model_len":2048,"tokens":[2,97,98]})"));
  CHECK(http.post("/v1/tokenize",
                  R"({"prompt":"ab","add_special_tokens":false,"return_token_strs":true})")
            .json() ==
        json::parse(R"({"count":2,"max_model_len":2048,"tokens":[97,98],"token_strs":["a","b"]})"));
  CHECK(http.post("/tokenize", R"({"messages":[{"role":"user","content":"ab"}]})").status == 200);
  CHECK(http.post("/tokenize", R"({"content":"ab"})").json()["tokens"] == json::parse("[97,98]"));
  CHECK(http.post("/tokenize", R"({"content":"a","add_special":true,"with_pieces":true})")
            .json()["tokens"] ==
        json::parse(R"([{"id":2,"piece":"\u0002"},{"id":97,"piece":"a"}])"));
  // A token that is no whole characters: its bytes.
  CHECK(http.service.token_bytes(0xc3) == "\xc3");
  CHECK(http.post("/tokenize", R"({"content":"é","with_pieces":true})").json()["tokens"] ==
        json::parse(R"([{"id":195,"piece":[195]},{"id":169,"piece":[169]}])"));
  CHECK(http.post("/tokenize", "{}").status == 400);
  CHECK(http.post("/detokenize", R"({"tokens":[97,98]})").json() ==
        json::parse(R"({"prompt":"ab","content":"ab"})"));
  CHECK(http.post("/detokenize", R"({"tokens":"ab"})").json()["error"]["param"] == "tokens");
  CHECK(http.post("/detokenize", "{}").status == 400);
}

TEST_CASE("apply-template renders without generating") {
  const HttpFixture http;
  CHECK(http.post("/apply-template", R"({"messages":[{"role":"user","content":"ab"}]})").json() ==
        json::parse(R"({"prompt":"<user>ab<assistant>"})"));
}

TEST_CASE("whatever renders a chat refuses what chat completions refuse") {
  const HttpFixture http;
  const std::string messages = R"("messages":[{"role":"user","content":"ab"}])";
  for (const char* path : {"/apply-template", "/tokenize", "/chat/completions"}) {
    for (const auto& [field, value] :
         {std::pair("tools", R"([{"type":"function"}])"),
          std::pair("chat_template", R"("{{ 1 }}")"), std::pair("documents", R"([{"text":"x"}])"),
          std::pair("tool_choice", R"("required")")}) {
      const std::string extra = ",\"" + std::string(field) + "\":";
      const auto refused = http.post(path, "{" + messages + extra + value + "}");
      CHECK(refused.status == 400);
      CHECK(refused.json()["error"]["param"] == field);
      CHECK(http.post(path, "{" + messages + extra + "null}").status == 200);
    }
  }
}

TEST_CASE("health is liveness, ready is readiness") {
  HttpFixture http;
  CHECK(http.get("/ready").status == 200);
  http.service.set_state(ServiceState::kLoading);
  CHECK(http.get("/health").status == 200);
  const HttpReply loading = http.get("/ready");
  CHECK(loading.status == 503);
  CHECK(loading.json()["status"] == "loading");
  CHECK(loading.json()["error"]["code"] == "model_loading");
  CHECK(loading.header("retry-after") == "5");
  http.service.set_state(ServiceState::kLeaving);
  const HttpReply leaving = http.get("/ready");
  CHECK(leaving.status == 503);
  CHECK(leaving.json()["status"] == "leaving");
  CHECK(leaving.json()["error"]["code"] == "shutting_down");
  CHECK(http.post("/v1/completions", R"({"prompt":"a"})").status == 200);
  http.service.set_state(ServiceState::kReady);

  EngineStats stats;
  stats.running = 1;
  stats.seconds_since_step = 59;
  http.service.set_engine_stats(stats);
  CHECK(http.get("/health").status == 200);
  stats.seconds_since_step = 61;
  http.service.set_engine_stats(stats);
  CHECK(http.get("/health").status == 503);
  stats.running = 0;
  http.service.set_engine_stats(stats);
  CHECK(http.get("/health").status == 200);
  http.service.set_state(ServiceState::kFailed);
  CHECK(http.get("/health").status == 503);
}

TEST_CASE("metrics, version and the API's description") {
  const HttpFixture http;
  const HttpReply metrics = http.get("/metrics");
  CHECK(metrics.header("content-type") == Metrics::content_type());
  CHECK(metrics.body.find("dejavu_") != std::string::npos);
  CHECK(http.get("/version").json()["version"].is_string());
  CHECK(http.get("/openapi.json").json()["openapi"] == "3.1.0");
}

}  // namespace dejavu
