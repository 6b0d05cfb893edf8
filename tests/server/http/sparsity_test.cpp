// The `sparsity` of requests and replies, and GET /v1/sparsity.
#include "tests/server/http/server_fixture.h"

using nlohmann::json;

namespace dejavu {
namespace {

std::string body_with(const std::string& sparsity, const std::string& more = {}) {
  return R"({"prompt":"hi","sparsity":)" + sparsity + more + "}";
}

const json kTotal = json::parse(R"({"mode":"lookahead","mlp_density":0.75,"head_density":0.875})");

}  // namespace

TEST_CASE("a request's sparsity arrives whole; what it leaves out stays open") {
  const HttpFixture http;
  const auto sent = [&](const std::string& sparsity) {
    REQUIRE(http.post("/v1/completions", body_with(sparsity)).status == 200);
    return http.service.last_request().sparsity;
  };
  const SparsityFields full = sent(R"({"mode":"lookahead","target_recall":0.95,"per_chunk":true})");
  CHECK(full.wish.mode == "lookahead");
  CHECK(full.wish.target_recall == 0.95);
  CHECK(full.per_chunk);
  for (const char* empty : {"{}", "null", R"({"mode":null,"target_recall":null})"}) {
    const SparsityFields none = sent(empty);
    CHECK(none.wish.mode.empty());
    CHECK_FALSE(none.wish.target_recall);
    CHECK_FALSE(none.per_chunk);
  }
  const HttpReply chat =
      http.post("/v1/chat/completions", R"({"messages":[{"role":"user","content":"hi"}],
                                            "sparsity":{"mode":"lookahead"}})");
  CHECK(chat.json()["sparsity"] == kTotal);
}

TEST_CASE("a wrong sparsity is a 400 that names its field and what is allowed") {
  const HttpFixture http;
  const std::pair<const char*, const char*> wrong[] = {
      {R"("lookahead")", "sparsity"},
      {R"({"mode":"sparse"})", "sparsity.mode"},
      {R"({"mode":3})", "sparsity.mode"},
      {R"({"mode":"exact"})", "sparsity.mode"},
      {R"({"target_recall":"0.95"})", "sparsity.target_recall"},
      {R"({"target_recall":0.5})", "sparsity.target_recall"},
      {R"({"per_chunk":1})", "sparsity.per_chunk"},
      {R"({"per_layer":1})", "sparsity.per_layer"},
      {R"({"recall":0.95})", "sparsity.recall"},
  };
  for (const auto& [sparsity, param] : wrong) {
    INFO(sparsity);
    for (const char* stream : {"", R"(,"stream":true)"}) {
      const HttpReply reply = http.post("/v1/completions", body_with(sparsity, stream));
      CHECK(reply.status == 400);
      CHECK(reply.json()["error"]["param"] == param);
    }
  }
  const HttpReply mode = http.post("/v1/completions", body_with(R"({"mode":"sparse"})"));
  CHECK_THAT(mode.json()["error"]["message"].get<std::string>(), Catch::Contains("lookahead"));
}

TEST_CASE("a whole reply says what was used, in its body and in a header") {
  const HttpFixture http;
  const HttpReply reply = http.post("/v1/completions", body_with(R"({"mode":"lookahead"})"));
  CHECK(reply.json()["sparsity"] == kTotal);
  CHECK(reply.header("x-dejavu-sparsity") == "lookahead; mlp_density=0.75; head_density=0.875");
  const HttpReply dense = http.post("/v1/completions", R"({"prompt":"hi"})");
  CHECK(dense.json()["sparsity"]["mode"] == "dense");
  CHECK(dense.header("x-dejavu-sparsity") == "dense; mlp_density=1.0; head_density=1.0");
}

TEST_CASE("a stream says its mode in the header and its densities in the last chunk") {
  const HttpFixture http;
  const std::string lookahead = R"({"mode":"lookahead"})";
  const HttpReply plain = http.post("/v1/completions", body_with(lookahead, R"(,"stream":true)"));
  CHECK(plain.header("x-dejavu-sparsity") == "lookahead");
  const auto events = plain.events();
  REQUIRE(events.size() == 3);
  CHECK_FALSE(json::parse(events[0]).contains("sparsity"));
  const json last = json::parse(events[1]);
  CHECK(last["sparsity"] == kTotal);
  CHECK(last["choices"].size() == 1);

  const HttpReply usage =
      http.post("/v1/completions",
                body_with(lookahead, R"(,"stream":true,"stream_options":{"include_usage":true})"));
  const auto with_usage = usage.events();
  REQUIRE(with_usage.size() == 4);
  CHECK_FALSE(json::parse(with_usage[1]).contains("sparsity"));
  const json usage_chunk = json::parse(with_usage[2]);
  CHECK(usage_chunk["choices"].empty());
  CHECK(usage_chunk["sparsity"] == kTotal);
}

TEST_CASE("per chunk: each chunk says how its own tokens were computed") {
  const HttpFixture http;
  const std::string wish = R"({"mode":"lookahead","per_chunk":true})";
  const auto events = http.post("/v1/completions", body_with(wish, R"(,"stream":true)")).events();
  REQUIRE(events.size() == 3);
  CHECK(json::parse(events[0])["sparsity"] ==
        json::parse(R"({"mode":"lookahead","mlp_density":1.0,"head_density":1.0})"));
  json last = json::parse(events[1])["sparsity"];
  CHECK(last["chunk"] ==
        json::parse(R"({"mode":"lookahead","mlp_density":0.5,"head_density":0.75})"));
  last.erase("chunk");
  CHECK(last == kTotal);

  const auto with_usage =
      http.post("/v1/completions",
                body_with(wish, R"(,"stream":true,"stream_options":{"include_usage":true})"))
          .events();
  REQUIRE(with_usage.size() == 4);
  CHECK(json::parse(with_usage[1])["sparsity"]["mlp_density"] == 0.5);
  CHECK(json::parse(with_usage[2])["sparsity"] == kTotal);
}

TEST_CASE("per layer: a token's chunk says it of every layer, and what the audit found") {
  const HttpFixture http;
  const std::string wish = R"({"mode":"lookahead","per_layer":true})";
  const auto events = http.post("/v1/completions", body_with(wish, R"(,"stream":true)")).events();
  REQUIRE(events.size() == 3);
  CHECK_FALSE(json::parse(events[0])["sparsity"].contains("layers"));  // dense
  json last = json::parse(events[1])["sparsity"];
  CHECK(last["chunk"] == json::parse(R"({"mode":"lookahead","mlp_density":0.5,"head_density":0.75,
      "weight_share":0.625,"layers":{"mlp":[0.75,0.25],"heads":[1.0,0.5]},
      "audit":{"layer":1,"block":"heads","recall":0.875,"error":0.125}})"));
  last.erase("chunk");
  CHECK(last == kTotal);
}

TEST_CASE("GET /v1/sparsity shows modes, levels and every layer") {
  const HttpFixture http;
  const json status = http.get("/v1/sparsity").json();
  CHECK(status["mode"] == "lookahead");
  CHECK(status["target_recall"] == 0.98);
  CHECK(status["reason"] == "the artifact says so");
  CHECK(status["allowed"] == json::parse(R"(["dense","lookahead"])"));
  CHECK(status["levels"] == json::parse(R"({"lookahead":[0.95,0.98],"threshold":[]})"));
  CHECK(status["artifact"] == "models/fake/sparsity");
  CHECK(status["predictor"] == json::parse(R"({"seconds":0.25,"overlapped_seconds":0.0})"));
  REQUIRE(status["layers"].size() == 2);
  CHECK(status["layers"][1]["layer"] == 1);
  CHECK(status["layers"][0]["mlp"] == json::parse(R"({"mode":"lookahead","density":0.25,
      "recall":0.97,"thresholds":{"low":-1.5,"high":2.0},"measured_density":0.25,
      "steps":{"gather":3,"whole_read":0,"skip_zeros":0,"dense":0},
      "audit":{"count":2,"recall":0.9,"error":0.5,"mean_error":0.25,"mean_missed_mass":0.0,
               "widened":1,"fallen_back":false}})"));
  CHECK(status["layers"][0]["heads"]["mode"] == "dense");
  CHECK(status["layers"][0]["heads"]["measured_density"].is_null());
  CHECK(status["layers"][0]["heads"]["audit"]["recall"].is_null());
}

}  // namespace dejavu
