// What request bodies mean, what they are refused for, and which field the refusal names.
#include "tests/server/http/server_fixture.h"

using nlohmann::json;

namespace dejavu {
namespace {

std::string chat_with(const std::string& fields) {
  return R"({"messages":[{"role":"user","content":"hi"}])" + (fields.empty() ? "" : "," + fields) +
         "}";
}

std::string completion_with(const std::string& fields) {
  return R"({"prompt":"hi")" + (fields.empty() ? "" : "," + fields) + "}";
}

}  // namespace

TEST_CASE("prompts: text, token ids and lists of either") {
  const HttpFixture http;
  const auto prompts = [&](const std::string& prompt) {
    CHECK(http.post("/completions", R"({"prompt":)" + prompt + "}").status == 200);
    std::string shapes;  // text as 'a', ids as [1,2]
    for (const Prompt& sent : http.service.last_request().prompts) {
      if (const auto* text = std::get_if<std::string>(&sent))
        shapes += "'" + *text + "'";
      else
        shapes += json(std::get<std::vector<std::int32_t>>(sent)).dump();
    }
    return shapes;
  };
  CHECK(prompts(R"("text")") == "'text'");
  CHECK(prompts(R"(["a","b"])") == "'a''b'");
  CHECK(prompts("[65, 66.0]") == "[65,66]");
  CHECK(prompts("[[65],[66,67]]") == "[65][66,67]");
  for (const char* wrong : {"null", "[]", "[[]]", "5", "{}", "[true]", "[-1]", "[1.5]", "[1,\"a\"]",
                            "[4294967296]", "[[1],[\"a\"]]"}) {
    const HttpReply reply = http.post("/completions", std::string(R"({"prompt":)") + wrong + "}");
    CHECK(reply.status == 400);
    CHECK(reply.json()["error"]["param"] == "prompt");
  }
}

TEST_CASE("every sampling field arrives; null means absent") {
  const HttpFixture http;
  REQUIRE(http.post("/completions", completion_with(R"(
      "model":"alias","temperature":0.5,"top_p":0.9,"top_k":5.0,"min_p":0.1,"presence_penalty":-1,
      "frequency_penalty":1,"repetition_penalty":1.5,"max_tokens":9,"min_tokens":3,"seed":-4,
      "logit_bias":{"5":-100,"7":1.5},"bad_words":["x"],"allowed_token_ids":[1,2],
      "stop_token_ids":[3],"stop":["a","b"],"include_stop_str_in_output":true,"ignore_eos":true,
      "logprobs":3,"prompt_logprobs":2,"n":2,"best_of":2,"echo":true,"skip_special_tokens":false,
      "add_special_tokens":false,"truncate_prompt_tokens":8,"cache_salt":"s","priority":-2,
      "timeout_ms":500,"stream":false)"))
              .status == 200);
  const GenerateRequest full = http.service.last_request();
  const SamplingFields& s = full.sampling;
  CHECK(full.model == "alias");
  CHECK(full.api == "completions");
  CHECK(s.temperature == 0.5F);
  CHECK(s.top_p == 0.9F);
  CHECK(s.top_k == 5);
  CHECK(s.min_p == 0.1F);
  CHECK(s.presence_penalty == -1.0F);
  CHECK(s.frequency_penalty == 1.0F);
  CHECK(s.repetition_penalty == 1.5F);
  CHECK(s.max_tokens == 9);
  CHECK(s.min_tokens == 3);
  CHECK(s.seed == -4);
  CHECK(s.logit_bias == std::vector<std::pair<std::int32_t, float>>{{5, -100.0F}, {7, 1.5F}});
  CHECK(s.bad_words == std::vector<std::string>{"x"});
  CHECK(s.allowed_token_ids == std::vector<std::int32_t>{1, 2});
  CHECK(s.stop_token_ids == std::vector<std::int32_t>{3});
  CHECK(s.stop == std::vector<std::string>{"a", "b"});
  CHECK((s.include_stop_str_in_output && s.ignore_eos && full.echo));
  CHECK(s.logprobs == 3);
  CHECK(s.prompt_logprobs == 2);
  CHECK(full.n == 2);
  CHECK_FALSE((full.skip_special_tokens || full.add_special_tokens || full.stream));
  CHECK(full.truncate_prompt_tokens == 8);
  CHECK(full.cache_salt == "s");
  CHECK(full.priority == -2);
  CHECK(full.timeout_ms == 500);

  REQUIRE(http.post("/completions", completion_with(R"(
      "model":null,"temperature":null,"top_p":null,"top_k":null,"max_tokens":null,"seed":null,
      "logit_bias":null,"bad_words":null,"allowed_token_ids":null,"stop_token_ids":null,
      "stop":null,"logprobs":null,"n":null,"best_of":null,"echo":null,"stream":null,
      "stream_options":null,"suffix":null,"tools":null,"response_format":null,"user":null,
      "timeout_ms":null,"skip_special_tokens":null,"add_special_tokens":null)"))
              .status == 200);
  const GenerateRequest empty = http.service.last_request();
  CHECK_FALSE((empty.sampling.temperature || empty.sampling.top_k || empty.sampling.max_tokens ||
               empty.sampling.seed || empty.sampling.logprobs || empty.timeout_ms));
  CHECK((empty.n == 1 && empty.skip_special_tokens && empty.add_special_tokens));
}

TEST_CASE("max_completion_tokens wins over max_tokens; chat runs to the context's end") {
  const HttpFixture http;
  http.post("/chat/completions", chat_with(R"("max_tokens":5,"max_completion_tokens":9)"));
  CHECK(http.service.last_request().sampling.max_tokens == 9);
  http.post("/chat/completions", chat_with(""));
  CHECK(http.service.last_request().to_context_end);
  http.post("/completions", completion_with(""));
  CHECK_FALSE(http.service.last_request().to_context_end);
}

TEST_CASE("refusals name the field") {
  const HttpFixture http;
  struct Case {
    const char* fields;
    const char* param;
  };
  for (const Case& c : {Case{R"("n":0)", "n"},
                        Case{R"("n":-1)", "n"},
                        Case{R"("n":1.5)", "n"},
                        Case{R"("n":"2")", "n"},
                        Case{R"("n":true)", "n"},
                        Case{R"("n":99999999999)", "n"},
                        Case{R"("max_tokens":-1)", "max_tokens"},
                        Case{R"("temperature":"hot")", "temperature"},
                        Case{R"("temperature":1e300)", "temperature"},
                        Case{R"("seed":18446744073709551615)", "seed"},
                        Case{R"("stop":[1])", "stop"},
                        Case{R"("stop":5)", "stop"},
                        Case{R"("logit_bias":{"x":1})", "logit_bias"},
                        Case{R"("logit_bias":{"1":"a"})", "logit_bias"},
                        Case{R"("logit_bias":[1])", "logit_bias"},
                        Case{R"("stop_token_ids":["a"])", "stop_token_ids"},
                        Case{R"("model":5)", "model"},
                        Case{R"("stream":"yes")", "stream"},
                        Case{R"("stream_options":{"include_usage":true})", "stream_options"},
                        Case{R"("stream":true,"stream_options":{"include_usage":1})",
                             "stream_options.include_usage"},
                        Case{R"("prompt_logprobs":21)", "prompt_logprobs"},
                        Case{R"("best_of":3)", "best_of"},
                        Case{R"("suffix":"x")", "suffix"},
                        Case{R"("tools":[{"type":"function"}])", "tools"},
                        Case{R"("tool_choice":"auto")", "tool_choice"},
                        Case{R"("functions":[{}])", "functions"},
                        Case{R"("response_format":{"type":"json_object"})", "response_format"},
                        Case{R"("guided_json":{"type":"object"})", "guided_json"},
                        Case{R"("structured_outputs":{"regex":"a"})", "structured_outputs"},
                        Case{R"("grammar":"root ::= a")", "grammar"},
                        Case{R"("use_beam_search":true)", "use_beam_search"},
                        Case{R"("typical_p":0.5)", "typical_p"},
                        Case{R"("mirostat":2)", "mirostat"},
                        Case{R"("dry_multiplier":0.8)", "dry_multiplier"},
                        Case{R"("prediction":{"type":"content"})", "prediction"},
                        Case{R"("modalities":["text","audio"])", "modalities"},
                        Case{R"("audio":{"voice":"x"})", "audio"},
                        Case{R"("images":["aGk="])", "images"},
                        Case{R"("image_data":[{"data":"aGk=","id":1}])", "image_data"},
                        Case{R"("lora":[{"id":0,"scale":1.0}])", "lora"},
                        Case{R"("repeat_penalty":1.1)", "repeat_penalty"},
                        Case{R"("n_predict":5)", "n_predict"},
                        Case{R"("n_predict":0)", "n_predict"},
                        Case{R"("max_new_tokens":5)", "max_new_tokens"},
                        Case{R"("min_new_tokens":5)", "min_new_tokens"},
                        Case{R"("n_probs":3)", "n_probs"},
                        Case{R"("samplers":["top_k"])", "samplers"},
                        Case{R"("length_penalty":0.8)", "length_penalty"},
                        Case{R"("return_token_ids":true)", "return_token_ids"},
                        Case{R"("return_tokens_as_token_ids":true)", "return_tokens_as_token_ids"},
                        Case{R"("web_search_options":{})", "web_search_options"}}) {
    for (const bool chat : {false, true}) {
      INFO(c.fields);
      const HttpReply reply = chat ? http.post("/chat/completions", chat_with(c.fields))
                                   : http.post("/completions", completion_with(c.fields));
      CHECK(reply.status == 400);
      const json error = reply.json()["error"];
      CHECK(error["type"] == "invalid_request_error");
      CHECK(error["param"] == c.param);
    }
  }
  CHECK(http.post("/completions", completion_with(R"("logprobs":21)")).status == 400);
  CHECK(http.post("/completions", completion_with(R"("logprobs":true)")).status == 400);
  for (const char* fields : {R"("top_logprobs":2)", R"("logprobs":true,"top_logprobs":21)",
                             R"("logprobs":3)", R"("echo":true)"})
    CHECK(http.post("/chat/completions", chat_with(fields)).status == 400);
}

TEST_CASE("a refused field that we have under another name is told that name") {
  const HttpFixture http;
  for (const auto& [field, name] :
       {std::pair("repeat_penalty", "repetition_penalty"), std::pair("n_predict", "max_tokens"),
        std::pair("max_new_tokens", "max_tokens"), std::pair("min_new_tokens", "min_tokens"),
        std::pair("n_probs", "logprobs")}) {
    const auto reply =
        http.post("/completions", completion_with('"' + std::string(field) + R"(":2)"));
    CHECK(reply.json()["error"]["message"] ==
          std::string(field) + " is called " + name + " by this server.");
  }
}

TEST_CASE("a refusal is recorded under the model that the body names") {
  const HttpFixture http;
  const std::string large(100'000, 'x');  // parsed aside
  for (const std::string& prompt : {std::string("a"), large})
    http.post("/completions", R"({"model":"alias","n":0,"prompt":")" + prompt + "\"}");
  http.post("/chat/completions", R"({"model":"no such","messages":[]})");
  http.post("/completions", R"({"model":5,"prompt":"a"})");
  http.post("/completions", "{");
  CHECK(http.service.refused_models() ==
        std::vector<std::string>{"alias", "alias", "no such", "", ""});
}

TEST_CASE("what clients send along without asking for anything is accepted") {
  const HttpFixture http;
  const char* fields = R"("user":"u","store":true,"metadata":{"a":"b"},"service_tier":"auto",
      "parallel_tool_calls":true,"tools":[],"tool_choice":"none","functions":[],"suffix":"",
      "response_format":{"type":"text"},"modalities":["text"],"use_beam_search":false,
      "typical_p":1.0,"mirostat":0,"dry_multiplier":0,"top_n_sigma":-1,"logit_bias":{},"anything":{"else":1},
      "images":[],"image_data":null,"lora":[],"repeat_penalty":1.0,"n_predict":null,"n_probs":0,
      "samplers":[],"length_penalty":1.0,"return_token_ids":false,"return_tokens_as_token_ids":null,
      "web_search_options":null,"reasoning_effort":"low","verbosity":"low","safety_identifier":"x",
      "prompt_cache_key":"k")";
  CHECK(http.post("/completions", completion_with(fields)).status == 200);
  CHECK(http.post("/chat/completions", chat_with(fields)).status == 200);
}

TEST_CASE("messages: roles, contents, and where a wrong one is") {
  const HttpFixture http;
  REQUIRE(http.post("/chat/completions", R"({"messages":[
      {"role":"system","content":"s"},{"role":"developer","content":"d"},
      {"role":"assistant","content":null},{"role":"tool","content":"t","tool_call_id":"c1"},
      {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"name":"n"}],
      "add_generation_prompt":false,"continue_final_message":true,
      "chat_template_kwargs":{"z":1,"a":2}})")
              .status == 200);
  const auto chat = std::get<ChatPrompt>(http.service.last_request().prompts.front());
  REQUIRE(chat.messages.size() == 5);
  CHECK(chat.messages[2].content.empty());
  CHECK(chat.messages[3].extra["tool_call_id"] == "c1");
  CHECK(chat.messages[4].content == "a\nb");
  CHECK(chat.messages[4].extra.dump() == R"({"name":"n"})");
  CHECK_FALSE(chat.add_generation_prompt);
  CHECK(chat.continue_final_message);
  CHECK(chat.template_kwargs.dump() == R"({"z":1,"a":2})");

  struct Case {
    const char* messages;
    const char* param;
  };
  for (const Case& c :
       {Case{"null", "messages"}, Case{"[]", "messages"}, Case{"\"hi\"", "messages"},
        Case{"[5]", "messages[0]"}, Case{R"([{"content":"x"}])", "messages[0].role"},
        Case{R"([{"role":"robot","content":"x"}])", "messages[0].role"},
        Case{R"([{"role":"user","content":5}])", "messages[0].content"},
        Case{R"([{"role":"user","content":[{"type":"text","text":"a"},
                 {"type":"image_url","image_url":{"url":"u"}}]}])",
             "messages[0].content[1].image_url"},
        Case{R"([{"role":"user","content":["a"]}])", "messages[0].content[0]"},
        Case{R"([{"role":"user","content":[{"type":"text"}]}])", "messages[0].content[0].text"}}) {
    const HttpReply reply =
        http.post("/chat/completions", std::string(R"({"messages":)") + c.messages + "}");
    INFO(c.messages);
    CHECK(reply.status == 400);
    CHECK(reply.json()["error"]["param"] == c.param);
  }
}

TEST_CASE("bodies that are not one JSON object of bounded depth") {
  const HttpFixture http;
  const auto nested = [](std::size_t levels) {
    return R"({"prompt":"a","x":)" + std::string(levels, '[') + std::string(levels, ']') + "}";
  };
  CHECK(http.post("/completions", nested(63)).status == 200);
  for (const std::string& body :
       {std::string(), std::string("{"), std::string("[]"), std::string("null"),
        std::string(R"({"prompt":"a",})"), std::string(R"({"prompt":NaN})"),
        std::string("{\"prompt\":\"\xff\xfe\"}"), std::string(R"({"prompt":"\ud800"})"),
        std::string(R"({"prompt":"a","n":1e400})"), std::string(R"({"prompt":"a"} x)"), nested(64),
        nested(1000000)}) {
    const HttpReply reply = http.post("/completions", body);
    CHECK(reply.status == 400);
    CHECK(reply.json()["error"]["type"] == "invalid_request_error");
  }
  CHECK(http.post("/completions", R"({"prompt":"a","n":5,"n":1,"prompt":"b"})")
            .json()["choices"][0]["text"] == "b!0");
}

TEST_CASE("an object of very many keys is read in linear time") {
  const HttpFixture http;
  std::string body = R"({"prompt":"a","x":{)";
  for (int i = 0; i < 500000; ++i) body += "\"" + std::to_string(i) + "\":0,";
  CHECK(http.post("/completions", body + "\"end\":1}}").status == 200);
}

}  // namespace dejavu
