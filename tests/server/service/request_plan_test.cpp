#include "server/request_plan.h"

#include <catch2/catch.hpp>
#include <limits>
#include <numeric>

#include "tests/support/service_fixture.h"

using namespace dejavu;

namespace {

LoadedModel demo_model(int max_model_len = 64) {
  LoadedModel model;
  model.tokenizer = demo_tokenizer();
  model.chat_template = tag_template();
  model.bos_token = model.eos_token = "</s>";
  model.defaults = *merge_sampling_defaults({"", nlohmann::json::object(), {2}});
  model.max_model_len = max_model_len;
  model.vocab_size = model.tokenizer->vocab_size();
  model.longest_token_bytes = 16;
  return model;
}

GenerateRequest ids_request(int count) {
  std::vector<std::int32_t> ids(static_cast<std::size_t>(count));
  std::iota(ids.begin(), ids.end(), 10);
  GenerateRequest request;
  request.prompts = {ids};
  return request;
}

GenerateRequest chat_request(const std::string& content) {
  ChatPrompt chat;
  chat.messages = {{"user", content, nullptr}};
  GenerateRequest request;
  request.prompts = {chat};
  request.to_context_end = true;
  return request;
}

Error error_of(const LoadedModel& model, const GenerateRequest& request) {
  const auto plan = plan_request(model, request);
  REQUIRE_FALSE(plan);
  return plan.error();
}

int max_tokens_of(const LoadedModel& model, const GenerateRequest& request) {
  const auto plan = plan_request(model, request);
  REQUIRE(plan);
  return plan->front().sampling.max_tokens;
}

}  // namespace

TEST_CASE(
    "without max_tokens a completion gets 16 tokens or the room left, a chat the whole rest") {
  LoadedModel model = demo_model();
  CHECK(max_tokens_of(model, ids_request(10)) == 16);
  CHECK(max_tokens_of(model, ids_request(60)) == 4);
  const auto chat = plan_request(model, chat_request("hi"));
  REQUIRE(chat);
  CHECK(chat->front().sampling.max_tokens ==
        64 - static_cast<int>(chat->front().prompt.ids.size()));
  model.defaults.max_tokens = 5;
  CHECK(max_tokens_of(model, ids_request(10)) == 5);
  CHECK(max_tokens_of(model, chat_request("hi")) == 5);
  GenerateRequest asked = ids_request(10);
  asked.sampling.max_tokens = 20;
  CHECK(max_tokens_of(model, asked) == 20);
}

TEST_CASE("what does not fit the context is a 400 with code and numbers") {
  const LoadedModel model = demo_model();
  GenerateRequest request = ids_request(60);
  request.sampling.max_tokens = 5;
  Error error = error_of(model, request);
  CHECK(error.code == ErrorCode::kInvalidArgument);
  CHECK(error.reason == "context_length_exceeded");
  CHECK_THAT(error.message, Catch::Contains("maximum context length is 64 tokens") &&
                                Catch::Contains("requested 65 tokens (60 in the prompt, 5 in the "
                                                "completion)"));
  request.sampling.max_tokens = 4;
  CHECK(max_tokens_of(model, request) == 4);
  request.sampling.max_tokens = std::numeric_limits<std::int64_t>::max();
  CHECK(error_of(model, request).reason == "context_length_exceeded");

  error = error_of(model, ids_request(64));
  CHECK(error.reason == "context_length_exceeded");
  CHECK_THAT(error.message, Catch::Contains("64"));
  // Text that cannot fit is refused by its length alone.
  error = error_of(model, text_request(std::string(16 * 66, 'a')));
  CHECK(error.reason == "context_length_exceeded");
  CHECK(error.param == "prompt");
  CHECK(error_of(model, chat_request(std::string(16 * 66, 'a'))).param == "messages");
}

TEST_CASE("max_tokens 0 scores a prompt, and only with echo") {
  const LoadedModel model = demo_model();
  GenerateRequest request = ids_request(64);
  request.sampling.max_tokens = 0;
  CHECK(error_of(model, request).param == "max_tokens");
  request.echo = true;
  request.sampling.logprobs = 3;
  const auto plan = plan_request(model, request);
  REQUIRE(plan);
  CHECK(plan->front().sampling.max_tokens == 0);
  CHECK(plan->front().sampling.prompt_logprobs == 3);
  CHECK_FALSE(plan->front().prompt.text.empty());
}

TEST_CASE("truncate_prompt_tokens keeps the last tokens") {
  const LoadedModel model = demo_model();
  GenerateRequest request = ids_request(100);
  request.truncate_prompt_tokens = 3;
  auto plan = plan_request(model, request);
  REQUIRE(plan);
  CHECK(plan->front().prompt.ids == std::vector<std::int32_t>{107, 108, 109});
  request.truncate_prompt_tokens = -1;
  request.sampling.max_tokens = 10;
  plan = plan_request(model, request);
  REQUIRE(plan);
  CHECK(plan->front().prompt.ids.size() == 54);
  CHECK(plan->front().prompt.ids.back() == 109);
  for (const int wrong : {0, -2}) {
    request.truncate_prompt_tokens = wrong;
    CHECK(error_of(model, request).param == "truncate_prompt_tokens");
  }
}

TEST_CASE("prompts: BOS for text, none for a chat, ids within the vocabulary, never empty") {
  const LoadedModel model = demo_model();
  auto plan = plan_request(model, text_request("Once"));
  REQUIRE(plan);
  CHECK(plan->front().prompt.ids.front() == 2);
  GenerateRequest bare = text_request("Once");
  bare.add_special_tokens = false;
  plan = plan_request(model, bare);
  REQUIRE(plan);
  CHECK(plan->front().prompt.ids.front() != 2);
  plan = plan_request(model, chat_request("hi"));
  REQUIRE(plan);
  CHECK(plan->front().prompt.text == "</s><user>hi</user><assistant>");
  CHECK(plan->front().prompt.ids[0] == 2);
  CHECK(plan->front().prompt.ids[1] != 2);

  plan = plan_request(model, text_request(""));
  REQUIRE(plan);
  CHECK(plan->front().prompt.ids == std::vector<std::int32_t>{2});
  GenerateRequest empty = text_request("");
  empty.add_special_tokens = false;
  CHECK(error_of(model, empty).code == ErrorCode::kInvalidArgument);
  CHECK(error_of(model, ids_request(0)).param == "prompt");
  GenerateRequest outside = ids_request(1);
  for (const std::int32_t id : {-1, model.vocab_size}) {
    outside.prompts = {std::vector<std::int32_t>{id}};
    CHECK_THAT(error_of(model, outside).message, Catch::Contains(std::to_string(id)));
  }
}

TEST_CASE("wrong fields are refused by name") {
  const LoadedModel model = demo_model();
  const auto param = [&](auto change) {
    GenerateRequest request = ids_request(4);
    change(request);
    const Error error = error_of(model, request);
    CHECK(error.code == ErrorCode::kInvalidArgument);
    CHECK_THAT(error.message, Catch::Contains(error.param));
    return error.param;
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(param([](auto& r) { r.sampling.max_tokens = 0; }) == "max_tokens");
  CHECK(param([](auto& r) { r.sampling.max_tokens = -1; }) == "max_tokens");
  CHECK(param([](auto& r) { r.sampling.min_tokens = -1; }) == "min_tokens");
  CHECK(param([](auto& r) { r.sampling.min_tokens = 17; }) == "min_tokens");
  CHECK(param([](auto& r) { r.sampling.top_k = -2; }) == "top_k");
  CHECK(param([](auto& r) { r.sampling.temperature = -0.1F; }) == "temperature");
  CHECK(param([&](auto& r) { r.sampling.temperature = nan; }) == "temperature");
  CHECK(param([&](auto& r) { r.sampling.min_p = nan; }) == "min_p");
  CHECK(param([](auto& r) { r.sampling.top_p = 0.0F; }) == "top_p");
  CHECK(param([](auto& r) { r.sampling.min_p = 1.1F; }) == "min_p");
  CHECK(param([](auto& r) { r.sampling.presence_penalty = 2.1F; }) == "presence_penalty");
  CHECK(param([](auto& r) { r.sampling.frequency_penalty = -2.1F; }) == "frequency_penalty");
  CHECK(param([](auto& r) { r.sampling.repetition_penalty = 0.0F; }) == "repetition_penalty");
  CHECK(param([](auto& r) { r.sampling.logprobs = 21; }) == "logprobs");
  CHECK(param([](auto& r) { r.sampling.logprobs = -1; }) == "logprobs");
  CHECK(param([](auto& r) { r.sampling.prompt_logprobs = 21; }) == "prompt_logprobs");
  CHECK(param([](auto& r) { r.sampling.stop = {"a", "b", "c", "d", "e"}; }) == "stop");
  CHECK(param([](auto& r) { r.sampling.stop = {""}; }) == "stop");
  CHECK(param([](auto& r) { r.sampling.stop_token_ids = {-1}; }) == "stop_token_ids");
  CHECK(param([](auto& r) { r.sampling.allowed_token_ids = {99999}; }) == "allowed_token_ids");
  CHECK(param([](auto& r) { r.sampling.logit_bias = {{99999, 1.0F}}; }) == "logit_bias");
  CHECK(param([](auto& r) { r.sampling.logit_bias = {{5, 101.0F}}; }) == "logit_bias");
  CHECK(param([](auto& r) { r.sampling.bad_words = {" "}; }) == "bad_words");
  CHECK(param([](auto& r) { r.timeout_ms = 0; }) == "timeout_ms");
}

TEST_CASE("n × prompts is limited, whatever the numbers") {
  GenerateRequest request = ids_request(3);
  request.n = 8;
  CHECK(count_choices(request, 8) == 8);
  CHECK(count_choices(request, 7).error().param == "n");
  request.n = 0;
  CHECK_FALSE(count_choices(request, 8));
  request.n = std::numeric_limits<int>::max();
  request.prompts.resize(3, std::string("x"));
  CHECK_FALSE(count_choices(request, 128));
  request.prompts.clear();
  CHECK_FALSE(count_choices(request, 8));
}

TEST_CASE("bad words are banned at the start of a text and after a space") {
  const LoadedModel model = demo_model();
  GenerateRequest request = ids_request(3);
  request.sampling.bad_words = {"the"};
  const auto plan = plan_request(model, request);
  REQUIRE(plan);
  const auto& words = plan->front().sampling.bad_words;
  REQUIRE(words.size() == 2);
  CHECK(model.tokenizer->decode(words[0], true) == "the");
  CHECK(model.tokenizer->decode(words[1], true) == " the");
}

TEST_CASE("the first choice has the request's seed, the others their own") {
  CHECK(choice_seed(42, 0) == 42);
  CHECK(choice_seed(42, 1) != choice_seed(42, 2));
  CHECK(choice_seed(42, 1) != choice_seed(43, 1));
  CHECK(choice_seed(42, 1) == choice_seed(42, 1));
}

TEST_CASE("chat: template errors, roles, continue_final_message") {
  LoadedModel model = demo_model();
  GenerateRequest request = chat_request("hi");
  auto& chat = std::get<ChatPrompt>(request.prompts.front());

  chat.messages = {{"tool", "x", nullptr}};
  CHECK_THAT(error_of(model, request).message, Catch::Contains("no tools here"));
  chat.messages = {{"king", "x", nullptr}};
  CHECK(error_of(model, request).param == "messages[0].role");
  chat.messages.clear();
  CHECK(error_of(model, request).param == "messages");

  chat.messages = {{"user", "hi", nullptr}, {"assistant", "Well ", nullptr}};
  chat.continue_final_message = true;
  CHECK(error_of(model, request).param == "continue_final_message");
  chat.add_generation_prompt = false;
  CHECK(render_chat(model, chat) == "</s><user>hi</user><assistant>Well ");
  model.chat_template = tag_template(true);
  CHECK(render_chat(model, chat) == "</s><user>hi</user><assistant>Well");
  chat.continue_final_message = false;
  chat.template_kwargs = {{"prefix", "P"}, {"add_generation_prompt", true}};
  CHECK(render_chat(model, chat) == "P<user>hi</user><assistant>Well</assistant>");

  model.chat_template = nullptr;
  CHECK_THAT(error_of(model, request).message, Catch::Contains("--chat-template"));
}
