// Reply shapes of completions and chat, whole and streamed.
#include "tests/server/http/server_fixture.h"

using nlohmann::json;

namespace dejavu {

TEST_CASE("a completion carries what OpenAI, vLLM and llama.cpp clients read") {
  const HttpFixture http;
  const HttpReply reply =
      http.connect().post("/v1/completions", R"({"prompt":"hi"})", "X-Request-Id: abc-1\r\n");
  CHECK(reply.status == 200);
  CHECK(reply.header("content-type") == "application/json");
  CHECK(reply.header("x-request-id") == "abc-1");
  const json body = reply.json();
  CHECK(body["id"] == "cmpl-abc-1");
  CHECK(body["object"] == "text_completion");
  CHECK(body["model"] == "fake/model");
  CHECK(body["system_fingerprint"] == "fp_fake");
  CHECK(body["created"].is_number_integer());
  CHECK(body["choices"] == json::parse(R"([{"index":0,"text":"hi!0","logprobs":null,
                                            "finish_reason":"stop","stop_reason":7}])"));
  CHECK(body["usage"] == json::parse(R"({"prompt_tokens":2,"completion_tokens":2,"total_tokens":4,
                                         "prompt_tokens_details":{"cached_tokens":1}})"));
  CHECK(body["timings"] == json::parse(R"({"cache_n":1,"prompt_n":4,"prompt_ms":2.0,
      "prompt_per_token_ms":0.5,"prompt_per_second":2000.0,"predicted_n":6,"predicted_ms":2.5,
      "predicted_per_token_ms":0.5,"predicted_per_second":2000.0})"));
}

TEST_CASE("choices count prompt by prompt, streamed or not") {
  const HttpFixture http;
  const json whole = http.post("/completions", R"({"prompt":["a","b"],"n":2})").json();
  std::vector<std::string> texts;
  for (const json& choice : whole["choices"]) {
    CHECK(choice["index"] == texts.size());
    texts.push_back(choice["text"]);
  }
  CHECK(texts == std::vector<std::string>{"a!0", "a!1", "b!0", "b!1"});

  const HttpReply stream = http.post("/completions", R"({"prompt":["a","b"],"n":2,"stream":true})");
  std::vector<std::string> streamed(4);
  const auto events = stream.events();
  REQUIRE(events.back() == "[DONE]");
  for (std::size_t i = 0; i + 1 < events.size(); ++i) {
    const json choice = json::parse(events[i])["choices"][0];
    streamed.at(choice["index"]) += choice["text"];
  }
  CHECK(streamed == texts);
}

TEST_CASE("a completion's stream: headers, chunks, timings on the last one, no usage") {
  const HttpFixture http;
  const HttpReply reply = http.post("/v1/completions", R"({"prompt":"hi","stream":true})");
  CHECK(reply.status == 200);
  CHECK(reply.header("content-type").starts_with("text/event-stream"));
  CHECK(reply.header("cache-control") == "no-cache");
  CHECK(reply.header("x-accel-buffering") == "no");
  const auto events = reply.events();
  REQUIRE(events.size() == 3);
  const json first = json::parse(events[0]);
  CHECK(first["object"] == "text_completion");
  CHECK(first["choices"][0]["text"] == "hi");
  CHECK(first["choices"][0]["finish_reason"].is_null());
  CHECK_FALSE(first.contains("usage"));
  CHECK_FALSE(first.contains("timings"));
  const json last = json::parse(events[1]);
  CHECK(last["choices"][0]["finish_reason"] == "stop");
  CHECK(last["choices"][0]["stop_reason"] == 7);
  CHECK(last["timings"]["predicted_n"] == 6);
  CHECK(events[2] == "[DONE]");
}

TEST_CASE("stream_options: usage in a last chunk without choices, or in every chunk") {
  const HttpFixture http;
  const HttpReply reply = http.post(
      "/completions", R"({"prompt":"hi","stream":true,"stream_options":{"include_usage":true}})");
  auto events = reply.events();
  REQUIRE(events.size() == 4);
  CHECK(json::parse(events[0])["usage"].is_null());
  CHECK(json::parse(events[1])["usage"].is_null());
  const json last = json::parse(events[2]);
  CHECK(last["choices"].empty());
  CHECK(last["usage"]["total_tokens"] == 4);
  CHECK(last["timings"]["cache_n"] == 1);

  events = http.post("/completions",
                     R"({"prompt":"hi","stream":true,
                         "stream_options":{"include_usage":true,"continuous_usage_stats":true}})")
               .events();
  REQUIRE(events.size() == 4);
  CHECK(json::parse(events[0])["usage"]["completion_tokens"] == 2);
}

TEST_CASE("completion logprobs keep the legacy shape") {
  const HttpFixture http;
  const json choice =
      http.post("/completions", R"({"prompt":"hi","logprobs":2})").json()["choices"][0];
  CHECK(choice["logprobs"] == json::parse(R"({"tokens":["hi","!0"],"token_logprobs":[-0.5,-0.5],
      "top_logprobs":[{"hi":-0.5,"Z":-1.5},{"!0":-0.5,"Z":-1.5}],"text_offset":[0,2]})"));
}

TEST_CASE("echoed tokens are scored before the generated ones, with a first null") {
  const HttpFixture http;
  const json choice =
      http.post("/completions", R"({"prompt":"ab","echo":true,"logprobs":0})").json()["choices"][0];
  CHECK(choice["logprobs"]["token_logprobs"] == json::parse("[null,-0.5,-0.5,-0.5]"));
  CHECK(choice["logprobs"]["top_logprobs"] ==
        json::parse(R"([null,{"b":-0.5},{"ab":-0.5},{"!0":-0.5}])"));
  CHECK_FALSE(choice.contains("prompt_logprobs"));
}

TEST_CASE("prompt_logprobs have vLLM's shape, a first null included") {
  const HttpFixture http;
  const auto expected = json::parse(R"([null,{"98":{"logprob":-0.5,"rank":1,"decoded_token":"b"},
                                              "90":{"logprob":-1.5,"rank":2,"decoded_token":"Z"}}])");
  const json completion =
      http.post("/completions", R"({"prompt":"ab","prompt_logprobs":1})").json();
  CHECK(completion["choices"][0]["prompt_logprobs"] == expected);
  const json chat =
      http.post("/chat/completions",
                R"({"messages":[{"role":"user","content":"ab"}],"prompt_logprobs":1})")
          .json();
  CHECK(chat["prompt_logprobs"] == expected);
}

TEST_CASE("a chat completion and its logprobs") {
  const HttpFixture http;
  const json body = http.post("/v1/chat/completions",
                              R"({"messages":[{"role":"user","content":"hi"}],
                                  "logprobs":true,"top_logprobs":1})")
                        .json();
  CHECK(body["id"].get<std::string>().starts_with("chatcmpl-"));
  CHECK(body["object"] == "chat.completion");
  const json choice = body["choices"][0];
  CHECK(choice["message"]["role"] == "assistant");
  CHECK(choice["message"]["content"] == "hi!0");
  CHECK(choice["logprobs"]["content"][0] ==
        json::parse(R"({"token":"hi","logprob":-0.5,"bytes":[104,105],"top_logprobs":[
            {"token":"hi","logprob":-0.5,"bytes":[104,105]},
            {"token":"Z","logprob":-1.5,"bytes":[90]}]})"));
}

TEST_CASE("a chat stream opens every choice with the role") {
  const HttpFixture http;
  const auto events = http.post("/chat/completions",
                                R"({"messages":[{"role":"user","content":"hi"}],"n":2,
                                    "stream":true})")
                          .events();
  std::vector<std::vector<json>> deltas(2);
  for (std::size_t i = 0; i + 1 < events.size(); ++i) {
    const json chunk = json::parse(events[i]);
    CHECK(chunk["object"] == "chat.completion.chunk");
    deltas.at(chunk["choices"][0]["index"]).push_back(chunk["choices"][0]["delta"]);
  }
  for (const auto& choice : deltas) {
    REQUIRE(choice.size() == 3);
    CHECK(choice[0] == json::parse(R"({"role":"assistant","content":null})"));
    CHECK(choice[1] == json::parse(R"({"content":"hi"})"));
    CHECK(choice[2].contains("content"));
  }
}

TEST_CASE("a refusal before the first byte is plain JSON with its status") {
  const HttpFixture http;
  struct Case {
    const char* kind;
    int status;
    const char* code;
  };
  for (const Case& c :
       {Case{"argument", 400, "context_length_exceeded"}, Case{"queue", 429, "queue_full"},
        Case{"loading", 503, "model_loading"}, Case{"model", 404, "model_not_found"}}) {
    for (const char* stream : {"true", "false"}) {
      const HttpReply reply =
          http.post("/completions",
                    std::string(R"({"prompt":"fail:)") + c.kind + R"(","stream":)" + stream + "}");
      CHECK(reply.status == c.status);
      CHECK(reply.header("content-type") == "application/json");
      CHECK(reply.json()["error"]["code"] == c.code);
      CHECK(reply.header("retry-after").empty() == (c.status != 429 && c.status != 503));
    }
  }
  CHECK(http.post("/completions", R"({"prompt":"fail:deadline"})").status == 504);
}

TEST_CASE("a later error is an error event and a close, without [DONE]") {
  const HttpFixture http;
  HttpClient client = http.connect();
  const HttpReply reply = client.post("/completions", R"({"prompt":"break","stream":true})");
  CHECK(reply.status == 200);
  const auto events = reply.events();
  REQUIRE(events.size() == 2);
  CHECK(json::parse(events[0])["choices"][0]["text"] == "half");
  CHECK(json::parse(events[1])["error"]["message"] == "The engine failed.");
  CHECK(reply.body.find("event: error\n") != std::string::npos);
  CHECK(client.closed_by_server());
}

TEST_CASE("an exception in a handler costs one request") {
  const HttpFixture http;
  HttpClient client = http.connect();
  const HttpReply reply = client.post("/completions", R"({"prompt":"throw"})");
  CHECK(reply.status == 500);
  CHECK(reply.json()["error"]["type"] == "server_error");
  CHECK(http.get("/health").status == 200);
}

}  // namespace dejavu
