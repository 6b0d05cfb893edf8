#include "server/grpc/translate.h"

#include <catch2/catch.hpp>

using namespace dejavu;

TEST_CASE("absent fields stay absent, and zero means zero") {
  v1::GenerateRequest message;
  message.set_prompt("hi");
  auto request = to_native(message);
  REQUIRE(request);
  CHECK(std::get<std::string>(request->prompts.at(0)) == "hi");
  CHECK(request->n == 1);
  CHECK_FALSE(request->to_context_end);
  CHECK_FALSE(request->sampling.temperature);
  CHECK_FALSE(request->sampling.max_tokens);
  CHECK_FALSE(request->sampling.logprobs);
  CHECK_FALSE(request->timeout_ms);
  CHECK(request->skip_special_tokens);
  CHECK(request->add_special_tokens);

  message.set_temperature(0);
  message.set_max_tokens(0);
  message.set_seed(0);
  message.set_logprobs(0);
  message.set_n(0);
  message.set_skip_special_tokens(false);
  message.set_add_special_tokens(false);
  request = to_native(message);
  REQUIRE(request);
  CHECK(request->sampling.temperature == 0.0F);
  CHECK(request->sampling.max_tokens == 0);
  CHECK(request->sampling.seed == 0);
  CHECK(request->sampling.logprobs == 0);
  CHECK(request->n == 0);
  CHECK_FALSE(request->skip_special_tokens);
  CHECK_FALSE(request->add_special_tokens);
}

TEST_CASE("every input kind is understood, and none is an error") {
  v1::GenerateRequest message;
  CHECK(to_native(message).error().code == ErrorCode::kInvalidArgument);

  message.mutable_prompt_token_ids()->add_ids(7);
  CHECK(std::get<std::vector<std::int32_t>>(to_native(message)->prompts.at(0)) ==
        std::vector<std::int32_t>{7});

  auto& list = *message.mutable_prompts();
  list.add_prompts()->set_prompt("a");
  list.add_prompts()->mutable_prompt_token_ids()->add_ids(8);
  CHECK(to_native(message)->prompts.size() == 2);

  auto& chat = *message.mutable_chat();
  auto& item = *chat.add_messages();
  item.set_role("tool");
  item.set_content("42");
  item.set_tool_call_id("call-1");
  auto& kwargs = *chat.mutable_chat_template_kwargs()->mutable_fields();
  kwargs["enable_thinking"].set_bool_value(false);
  kwargs["depth"].set_number_value(3);
  auto request = to_native(message);
  REQUIRE(request);
  CHECK(request->to_context_end);
  auto native = std::get<ChatPrompt>(request->prompts.at(0));
  CHECK(native.messages.at(0).extra["tool_call_id"] == "call-1");
  CHECK(native.template_kwargs["enable_thinking"] == false);
  CHECK(native.template_kwargs["depth"] == 3);
  CHECK(native.add_generation_prompt);
  chat.set_continue_final_message(true);
  request = to_native(message);
  CHECK_FALSE(std::get<ChatPrompt>(request->prompts.at(0)).add_generation_prompt);
}

TEST_CASE("a delta becomes a choice with its stop reason and logprobs") {
  TextDelta delta;
  delta.choice = 2;
  delta.text = "x";
  delta.token_ids = {9};
  delta.finish = FinishReason::kStop;
  delta.stop_reason = std::int32_t{0};
  TokenText entry;
  entry.token = 9;
  entry.bytes = "\xff";
  entry.text = "\xef\xbf\xbd";
  entry.logprob = -1;
  entry.top = {{9, "\xef\xbf\xbd", "\xff", -1}};
  delta.logprobs = {entry};
  entry.has_logprob = false;
  delta.prompt_logprobs = {entry};
  v1::Choice choice;
  fill_choice(delta, choice);
  CHECK(choice.index() == 2);
  CHECK(choice.finish_reason() == v1::FINISH_REASON_STOP);
  CHECK(choice.stop_reason_case() == v1::Choice::kStopTokenId);  // id 0 is a reason too
  CHECK(choice.logprobs(0).bytes() == "\xff");
  CHECK(choice.logprobs(0).has_logprob());
  CHECK(choice.logprobs(0).top_logprobs_size() == 1);
  CHECK_FALSE(choice.prompt_logprobs(0).has_logprob());
}
