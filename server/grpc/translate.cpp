#include "server/grpc/translate.h"

#include <google/protobuf/util/json_util.h>

#include <optional>
#include <string>
#include <utility>

namespace dejavu {

namespace {

template <class Repeated>
auto to_vector(const Repeated& field) {
  return std::vector<typename Repeated::value_type>(field.begin(), field.end());
}

Result<ChatPrompt> chat_prompt(const v1::ChatPrompt& message) {
  ChatPrompt chat;
  chat.continue_final_message = message.continue_final_message();
  chat.add_generation_prompt = message.has_add_generation_prompt()
                                   ? message.add_generation_prompt()
                                   : !message.continue_final_message();
  for (const v1::ChatMessage& item : message.messages()) {
    ChatMessage& entry =
        chat.messages.emplace_back(ChatMessage{item.role(), item.content(), nullptr});
    if (item.has_name()) entry.extra["name"] = item.name();
    if (item.has_tool_call_id()) entry.extra["tool_call_id"] = item.tool_call_id();
  }
  if (message.has_chat_template_kwargs()) {
    std::string json;
    const auto status =
        google::protobuf::util::MessageToJsonString(message.chat_template_kwargs(), &json);
    chat.template_kwargs = nlohmann::ordered_json::parse(json, nullptr, false);
    if (!status.ok() || !chat.template_kwargs.is_object()) {
      return invalid("chat_template_kwargs is not a JSON object", "chat_template_kwargs");
    }
  }
  return chat;
}

Result<std::vector<Prompt>> prompts(const v1::GenerateRequest& message) {
  std::vector<Prompt> out;
  switch (message.input_case()) {
    case v1::GenerateRequest::kPrompt:
      out.emplace_back(message.prompt());
      return out;
    case v1::GenerateRequest::kPromptTokenIds:
      out.emplace_back(to_vector(message.prompt_token_ids().ids()));
      return out;
    case v1::GenerateRequest::kChat: {
      auto chat = chat_prompt(message.chat());
      if (!chat) return tl::unexpected(chat.error());
      out.emplace_back(std::move(*chat));
      return out;
    }
    case v1::GenerateRequest::kPrompts:
      for (const v1::PromptItem& item : message.prompts().prompts()) {
        if (item.item_case() == v1::PromptItem::kPromptTokenIds) {
          out.emplace_back(to_vector(item.prompt_token_ids().ids()));
        } else {
          out.emplace_back(item.prompt());
        }
      }
      return out;
    case v1::GenerateRequest::INPUT_NOT_SET:
      break;
  }
  return invalid("one of prompt, prompt_token_ids, chat and prompts is required", "prompt");
}

SamplingFields sampling_fields(const v1::GenerateRequest& message) {
  SamplingFields fields;
  if (message.has_temperature()) fields.temperature = message.temperature();
  if (message.has_top_p()) fields.top_p = message.top_p();
  if (message.has_min_p()) fields.min_p = message.min_p();
  if (message.has_presence_penalty()) fields.presence_penalty = message.presence_penalty();
  if (message.has_frequency_penalty()) fields.frequency_penalty = message.frequency_penalty();
  if (message.has_repetition_penalty()) fields.repetition_penalty = message.repetition_penalty();
  if (message.has_top_k()) fields.top_k = message.top_k();
  if (message.has_max_tokens()) fields.max_tokens = message.max_tokens();
  if (message.has_min_tokens()) fields.min_tokens = message.min_tokens();
  if (message.has_seed()) fields.seed = message.seed();
  fields.logit_bias.assign(message.logit_bias().begin(), message.logit_bias().end());
  fields.bad_words = to_vector(message.bad_words());
  fields.allowed_token_ids = to_vector(message.allowed_token_ids());
  fields.stop_token_ids = to_vector(message.stop_token_ids());
  fields.stop = to_vector(message.stop());
  fields.include_stop_str_in_output = message.include_stop_str_in_output();
  fields.ignore_eos = message.ignore_eos();
  if (message.has_logprobs()) fields.logprobs = message.logprobs();
  if (message.has_prompt_logprobs()) fields.prompt_logprobs = message.prompt_logprobs();
  return fields;
}

void fill_logprobs(std::vector<TokenText> entries,
                   google::protobuf::RepeatedPtrField<v1::TokenLogprob>& out) {
  for (TokenText& entry : entries) {
    v1::TokenLogprob& item = *out.Add();
    item.set_token_id(entry.token);
    item.set_token(std::move(entry.text));
    item.set_bytes(std::move(entry.bytes));
    if (entry.has_logprob) {
      item.set_logprob(entry.logprob);
      item.set_rank(entry.rank);
    }
    item.set_text_offset(entry.text_offset);
    for (TokenText::Alternative& alternative : entry.top) {
      v1::TopLogprob& top = *item.add_top_logprobs();
      top.set_token_id(alternative.token);
      top.set_token(std::move(alternative.text));
      top.set_bytes(std::move(alternative.bytes));
      top.set_logprob(alternative.logprob);
    }
  }
}

v1::FinishReason finish_reason(FinishReason reason) {
  if (reason == FinishReason::kStop) return v1::FINISH_REASON_STOP;
  if (reason == FinishReason::kLength) return v1::FINISH_REASON_LENGTH;
  return v1::FINISH_REASON_UNSPECIFIED;
}

}  // namespace

Result<GenerateRequest> to_native(const v1::GenerateRequest& message) {
  auto inputs = prompts(message);
  if (!inputs) return tl::unexpected(inputs.error());
  GenerateRequest request;
  request.model = message.model();
  request.prompts = std::move(*inputs);
  request.n = message.has_n() ? message.n() : 1;
  request.sampling = sampling_fields(message);
  request.to_context_end = message.has_chat();
  request.echo = message.echo();
  if (message.has_skip_special_tokens()) {
    request.skip_special_tokens = message.skip_special_tokens();
  }
  if (message.has_add_special_tokens()) request.add_special_tokens = message.add_special_tokens();
  if (message.has_truncate_prompt_tokens()) {
    request.truncate_prompt_tokens = message.truncate_prompt_tokens();
  }
  request.cache_salt = message.cache_salt();
  request.priority = message.priority();
  if (message.has_timeout_ms()) request.timeout_ms = message.timeout_ms();
  request.sparsity.wish.mode = message.sparsity().mode();
  if (message.sparsity().has_target_recall()) {
    request.sparsity.wish.target_recall = message.sparsity().target_recall();
  }
  request.sparsity.per_layer = message.sparsity().per_layer();
  request.sparsity.per_chunk = message.sparsity().per_chunk() || request.sparsity.per_layer;
  return request;
}

Result<TokenizeRequest> to_native(const v1::TokenizeRequest& message) {
  TokenizeRequest request;
  request.model = message.model();
  if (message.has_add_special_tokens()) request.add_special_tokens = message.add_special_tokens();
  switch (message.input_case()) {
    case v1::TokenizeRequest::kPrompt:
      request.prompt = message.prompt();
      return request;
    case v1::TokenizeRequest::kChat: {
      auto chat = chat_prompt(message.chat());
      if (!chat) return tl::unexpected(chat.error());
      request.prompt = std::move(*chat);
      return request;
    }
    case v1::TokenizeRequest::INPUT_NOT_SET:
      break;
  }
  return invalid("one of prompt and chat is required", "prompt");
}

void fill_choice(TextDelta delta, v1::Choice& out) {
  out.set_index(delta.choice);
  out.set_text(std::move(delta.text));
  out.mutable_token_ids()->Assign(delta.token_ids.begin(), delta.token_ids.end());
  out.set_finish_reason(finish_reason(delta.finish));
  if (const auto* id = std::get_if<std::int32_t>(&delta.stop_reason)) out.set_stop_token_id(*id);
  if (const auto* text = std::get_if<std::string>(&delta.stop_reason)) out.set_stop_string(*text);
  fill_logprobs(std::move(delta.logprobs), *out.mutable_logprobs());
  fill_logprobs(std::move(delta.prompt_logprobs), *out.mutable_prompt_logprobs());
}

void fill_usage(const Usage& usage, v1::Usage& out) {
  out.set_prompt_tokens(usage.prompt_tokens);
  out.set_completion_tokens(usage.completion_tokens);
  out.set_total_tokens(usage.prompt_tokens + usage.completion_tokens);
  out.set_cached_tokens(usage.cached_tokens);
}

void fill_timings(const Timings& timings, v1::Timings& out) {
  out.set_prompt_n(timings.prompt_n);
  out.set_prompt_ms(timings.prompt_ms);
  out.set_predicted_n(timings.predicted_n);
  out.set_predicted_ms(timings.predicted_ms);
}

}  // namespace dejavu
