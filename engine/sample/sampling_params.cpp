#include "engine/sample/sampling_params.h"

#include <cmath>
#include <sstream>
#include <string_view>

namespace dejavu {
namespace {

template <class T>
Status refuse(std::string_view field, std::string_view rule, T got) {
  std::ostringstream message;
  message << field << " must be " << rule << ", got " << got << '.';
  return invalid(message.str(), std::string(field));
}

// Within [low, high]; NaN is not.
bool within(float x, float low, float high) { return x >= low && x <= high; }

Status check_tokens(std::string_view field, const std::vector<std::int32_t>& tokens,
                    int vocab_size) {
  for (const std::int32_t token : tokens) {
    if (token < 0 || token >= vocab_size) {
      return refuse(field, "token ids in [0, " + std::to_string(vocab_size) + ")", token);
    }
  }
  return {};
}

Status check_numbers(const SamplingParams& p) {
  if (!(p.temperature >= 0) || std::isinf(p.temperature)) {
    return refuse("temperature", "a non-negative number", p.temperature);
  }
  if (!(p.top_p > 0 && p.top_p <= 1)) return refuse("top_p", "in (0, 1]", p.top_p);
  if (p.top_k < -1) return refuse("top_k", "-1 or 0 (all tokens), or at least 1", p.top_k);
  if (!within(p.min_p, 0, 1)) return refuse("min_p", "in [0, 1]", p.min_p);
  if (!within(p.presence_penalty, -2, 2)) {
    return refuse("presence_penalty", "in [-2, 2]", p.presence_penalty);
  }
  if (!within(p.frequency_penalty, -2, 2)) {
    return refuse("frequency_penalty", "in [-2, 2]", p.frequency_penalty);
  }
  if (!(p.repetition_penalty > 0 && p.repetition_penalty <= 2)) {
    return refuse("repetition_penalty", "in (0, 2]", p.repetition_penalty);
  }
  return {};
}

Status check_lengths(const SamplingParams& p) {
  const std::string logprobs_rule = "in [0, " + std::to_string(kMaxLogprobs) + "]";
  if (p.logprobs < -1 || p.logprobs > kMaxLogprobs) {
    return refuse("logprobs", logprobs_rule, p.logprobs);
  }
  if (p.prompt_logprobs < -1 || p.prompt_logprobs > kMaxLogprobs) {
    return refuse("prompt_logprobs", logprobs_rule, p.prompt_logprobs);
  }
  if (p.max_tokens < 0) return refuse("max_tokens", "at least 0", p.max_tokens);
  if (p.min_tokens < 0) return refuse("min_tokens", "at least 0", p.min_tokens);
  if (p.min_tokens > p.max_tokens) {
    return refuse("min_tokens", "at most max_tokens=" + std::to_string(p.max_tokens), p.min_tokens);
  }
  return {};
}

Status check_token_lists(const SamplingParams& p, int vocab_size) {
  for (const auto& [token, bias] : p.logit_bias) {
    if (auto status = check_tokens("logit_bias", {token}, vocab_size); !status) return status;
    if (!within(bias, -100, 100)) return refuse("logit_bias", "in [-100, 100]", bias);
  }
  for (const auto& word : p.bad_words) {
    if (word.empty()) return invalid("bad_words must not hold an empty word.", "bad_words");
    if (auto status = check_tokens("bad_words", word, vocab_size); !status) return status;
  }
  if (auto status = check_tokens("allowed_token_ids", p.allowed_token_ids, vocab_size); !status) {
    return status;
  }
  if (auto status = check_tokens("stop_token_ids", p.stop_token_ids, vocab_size); !status) {
    return status;
  }
  return check_tokens("eos_token_ids", p.eos_token_ids, vocab_size);
}

}  // namespace

Status validate(const SamplingParams& params, int vocab_size) {
  if (auto status = check_numbers(params); !status) return status;
  if (auto status = check_lengths(params); !status) return status;
  return check_token_lists(params, vocab_size);
}

}  // namespace dejavu
