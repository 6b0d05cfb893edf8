#include "engine/sample/logit_processors.h"

#include <algorithm>

#include "engine/sample/reduce.h"

namespace dejavu {
namespace {

bool min_tokens_pending(const SamplerState& state) {
  return static_cast<int>(state.output().size()) < state.params().min_tokens;
}

void mask(std::span<float> logits, std::int32_t token) {
  logits[static_cast<std::size_t>(token)] = kMinusInfinity;
}

// Masks the last token of every bad word whose other tokens end the output.
void mask_bad_words(const SamplerState& state, std::span<float> logits) {
  const std::span<const std::int32_t> output = state.output();
  for (const auto& word : state.params().bad_words) {
    const std::size_t prefix = word.size() - 1;
    if (prefix > output.size()) continue;
    if (std::equal(output.end() - static_cast<std::ptrdiff_t>(prefix), output.end(),
                   word.begin())) {
      mask(logits, word.back());
    }
  }
}

void mask_stops(const SamplingParams& params, std::span<float> logits) {
  for (const std::int32_t token : params.stop_token_ids) mask(logits, token);
  if (params.ignore_eos) return;
  for (const std::int32_t token : params.eos_token_ids) mask(logits, token);
}

void penalise(const SamplerState& state, std::span<float> logits) {
  const SamplingParams& params = state.params();
  for (const TokenCount& entry : state.counts()) {
    float& logit = logits[static_cast<std::size_t>(entry.token)];
    logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    if (entry.in_output > 0) {
      logit -= params.frequency_penalty * static_cast<float>(entry.in_output);
      logit -= params.presence_penalty;
    }
    logit = sane(logit);  // a small repetition penalty may have overflowed it
  }
}

}  // namespace

bool leaves_logits_alone(const SamplerState& state) {
  const SamplingParams& params = state.params();
  return params.allowed_token_ids.empty() && params.bad_words.empty() &&
         params.logit_bias.empty() && state.counts().empty() && !min_tokens_pending(state);
}

void process_logits(std::span<const float> raw, const SamplerState& state, std::span<float> out) {
  const SamplingParams& params = state.params();
  if (params.allowed_token_ids.empty()) {
    for (std::size_t i = 0; i < raw.size(); ++i) out[i] = sane(raw[i]);
  } else {
    std::fill(out.begin(), out.end(), kMinusInfinity);
    for (const std::int32_t token : params.allowed_token_ids) {
      out[static_cast<std::size_t>(token)] = sane(raw[static_cast<std::size_t>(token)]);
    }
  }
  mask_bad_words(state, out);
  if (min_tokens_pending(state)) mask_stops(params, out);
  for (const auto& [token, bias] : params.logit_bias) out[static_cast<std::size_t>(token)] += bias;
  penalise(state, out);
}

}  // namespace dejavu
