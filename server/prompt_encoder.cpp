#include "server/prompt_encoder.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace dejavu {

namespace {

// Marks the end of the final message in the rendered text, as transformers' apply_chat_template
// does: the space at its end tells whether the template trims its messages.
constexpr std::string_view kContinueTag = "CONTINUE_FINAL_MESSAGE_TAG ";

constexpr std::array<std::string_view, 5> kRoles{"system", "developer", "user", "assistant",
                                                 "tool"};

Status check_chat(const LoadedModel& model, const ChatPrompt& chat) {
  if (model.chat_template == nullptr) {
    return invalid(
        "the model has no chat template: start the server with --chat-template FILE, or use the "
        "completions API",
        "messages");
  }
  if (chat.messages.empty()) return invalid("messages must hold at least one message", "messages");
  for (std::size_t i = 0; i < chat.messages.size(); ++i) {
    const std::string& role = chat.messages[i].role;
    if (std::find(kRoles.begin(), kRoles.end(), role) == kRoles.end()) {
      return invalid(
          "unknown role '" + role + "': roles are system, developer, user, assistant and tool",
          "messages[" + std::to_string(i) + "].role");
    }
  }
  if (chat.add_generation_prompt && chat.continue_final_message) {
    return invalid("add_generation_prompt and continue_final_message cannot both be true",
                   "continue_final_message");
  }
  return {};
}

nlohmann::ordered_json template_variables(const LoadedModel& model, const ChatPrompt& chat) {
  nlohmann::ordered_json variables = nlohmann::ordered_json::object();
  variables["bos_token"] = model.bos_token;
  variables["eos_token"] = model.eos_token;
  if (chat.template_kwargs.is_object()) variables.update(chat.template_kwargs);
  auto& messages = variables["messages"] = nlohmann::ordered_json::array();
  for (const ChatMessage& message : chat.messages) {
    nlohmann::ordered_json entry{{"role", message.role}, {"content", message.content}};
    if (message.extra.is_object()) {
      for (const auto& [key, value] : message.extra.items()) {
        if (!entry.contains(key)) entry[key] = value;
      }
    }
    messages.push_back(std::move(entry));
  }
  variables["add_generation_prompt"] = chat.add_generation_prompt;
  return variables;
}

// Cuts what the template puts after the final message's content.
Result<std::string> cut_after_tag(const std::string& rendered) {
  const std::string_view bare = kContinueTag.substr(0, kContinueTag.size() - 1);
  const std::size_t at = rendered.rfind(bare);
  if (at == std::string::npos) {
    return invalid(
        "continue_final_message is set, but the chat template does not show the final message",
        "continue_final_message");
  }
  std::string text = rendered.substr(0, at);
  if (std::string_view(rendered).substr(at, kContinueTag.size()) == kContinueTag) return text;
  const std::size_t last = text.find_last_not_of(" \t\n\r\f\v");
  text.erase(last == std::string::npos ? 0 : last + 1);
  return text;
}

}  // namespace

Status check_token_ids(const LoadedModel& model, const std::vector<std::int32_t>& ids,
                       const char* field) {
  for (const std::int32_t id : ids) {
    if (id < 0 || id >= model.vocab_size) {
      return invalid(std::string(field) + ": token id " + std::to_string(id) +
                         " is outside the vocabulary of " + std::to_string(model.vocab_size) +
                         " tokens",
                     field);
    }
  }
  return {};
}

const char* prompt_field(const Prompt& prompt) {
  return std::holds_alternative<ChatPrompt>(prompt) ? "messages" : "prompt";
}

tl::unexpected<Error> context_length_error(int max_model_len, const std::string& tail,
                                           const char* param) {
  return invalid("This model's maximum context length is " + std::to_string(max_model_len) +
                     " tokens. However, " + tail,
                 param, "context_length_exceeded");
}

tl::unexpected<Error> prompt_too_long(int max_model_len, const Prompt& prompt,
                                      const std::string& tokens) {
  const bool chat = std::holds_alternative<ChatPrompt>(prompt);
  const char* field = prompt_field(prompt);
  return context_length_error(max_model_len,
                              "your " + std::string(field) + " resulted in " + tokens +
                                  " tokens. Please reduce " + (chat ? "their" : "its") + " length.",
                              field);
}

Result<std::string> render_chat(const LoadedModel& model, const ChatPrompt& chat) {
  if (auto status = check_chat(model, chat); !status) return tl::unexpected(status.error());
  nlohmann::ordered_json variables = template_variables(model, chat);
  if (chat.continue_final_message) {
    variables["messages"].back()["content"] =
        chat.messages.back().content + std::string(kContinueTag);
  }
  auto rendered = model.chat_template->render(variables);
  if (!rendered || !chat.continue_final_message) return rendered;
  return cut_after_tag(*rendered);
}

Result<EncodedPrompt> encode_prompt(const LoadedModel& model, const Prompt& prompt,
                                    const EncodeOptions& options) {
  EncodedPrompt encoded;
  if (const auto* ids = std::get_if<std::vector<std::int32_t>>(&prompt)) {
    if (auto status = check_token_ids(model, *ids, "prompt"); !status)
      return tl::unexpected(status.error());
    encoded.ids = *ids;
  } else {
    const auto* chat = std::get_if<ChatPrompt>(&prompt);
    if (chat != nullptr) {
      auto rendered = render_chat(model, *chat);
      if (!rendered) return tl::unexpected(rendered.error());
      encoded.text = std::move(*rendered);
    } else {
      encoded.text = std::get<std::string>(prompt);
    }
    const std::size_t least = encoded.text.size() / model.longest_token_bytes;
    if (options.context_tokens && least > static_cast<std::size_t>(*options.context_tokens)) {
      return prompt_too_long(model.max_model_len, prompt, "at least " + std::to_string(least));
    }
    encoded.ids =
        model.tokenizer->encode(encoded.text, chat == nullptr && options.add_special_tokens);
  }
  if (encoded.ids.empty() && !options.allow_empty) {
    return invalid("the prompt is empty: it must hold at least one token", prompt_field(prompt));
  }
  return encoded;
}

}  // namespace dejavu
