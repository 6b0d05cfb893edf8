// The choices of the two APIs: text_completion and chat.completion.
#include <utility>

#include "server/http/logprobs_json.h"
#include "server/http/reply_format.h"

namespace dejavu {
namespace {

using nlohmann::ordered_json;

class CompletionFormat final : public ReplyFormat {
 public:
  CompletionFormat(const GenerateBody& body, Head head)
      : ReplyFormat(body, std::move(head), {"cmpl-", "text_completion", "text_completion"}),
        logprobs_(body.request.sampling.logprobs),
        echo_(body.request.echo) {}

 private:
  // Echoed tokens are scored like generated ones, and come before them.
  Json logprobs_of(const TextDelta& delta) const {
    if (!logprobs_) return nullptr;
    if (!echo_ || delta.prompt_logprobs.empty())
      return completion_logprobs(delta.logprobs, *logprobs_);
    std::vector<TokenText> tokens = delta.prompt_logprobs;
    tokens.insert(tokens.end(), delta.logprobs.begin(), delta.logprobs.end());
    return completion_logprobs(tokens, *logprobs_);
  }
  Json whole_choice(const TextDelta& delta) const override {
    return {{"index", delta.choice}, {"text", delta.text}, {"logprobs", logprobs_of(delta)}};
  }
  Json chunk_choice(const TextDelta& delta) const override { return whole_choice(delta); }
  Json opening_choice(int /*index*/) const override { return nullptr; }
  bool prompt_logprobs_in_choice() const override { return true; }

  std::optional<int> logprobs_;
  bool echo_;
};

class ChatFormat final : public ReplyFormat {
 public:
  ChatFormat(const GenerateBody& body, Head head)
      : ReplyFormat(body, std::move(head),
                    {"chatcmpl-", "chat.completion", "chat.completion.chunk"}),
        logprobs_(body.request.sampling.logprobs.has_value()) {}

 private:
  Json logprobs_of(const TextDelta& delta) const {
    return logprobs_ ? chat_logprobs(delta.logprobs) : Json();
  }
  Json whole_choice(const TextDelta& delta) const override {
    return {{"index", delta.choice},
            {"message", {{"role", "assistant"}, {"content", delta.text}, {"refusal", nullptr}}},
            {"logprobs", logprobs_of(delta)}};
  }
  Json chunk_choice(const TextDelta& delta) const override {
    Json content = Json::object();
    if (!delta.text.empty()) content["content"] = delta.text;
    return {
        {"index", delta.choice}, {"delta", std::move(content)}, {"logprobs", logprobs_of(delta)}};
  }
  Json opening_choice(int index) const override {
    return {{"index", index},
            {"delta", {{"role", "assistant"}, {"content", nullptr}}},
            {"logprobs", nullptr}};
  }
  bool prompt_logprobs_in_choice() const override { return false; }

  bool logprobs_;
};

}  // namespace

std::unique_ptr<ReplyFormat> ReplyFormat::make(const GenerateBody& body, Head head) {
  if (body.chat) return std::make_unique<ChatFormat>(body, std::move(head));
  return std::make_unique<CompletionFormat>(body, std::move(head));
}

}  // namespace dejavu
