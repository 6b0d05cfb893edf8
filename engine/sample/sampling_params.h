// What one sequence asks of the sampler. Field names are vLLM's; ranges are checked by
// validate() before a request reaches the engine.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "engine/core/result.h"

namespace dejavu {

inline constexpr int kMaxLogprobs = 20;

struct SamplingParams {
  float temperature = 1.0F;                                // 0 = greedy
  float top_p = 1.0F;                                      // (0, 1]
  int top_k = 0;                                           // 0 or -1 = all
  float min_p = 0.0F;                                      // [0, 1]
  float presence_penalty = 0.0F;                           // [-2, 2]
  float frequency_penalty = 0.0F;                          // [-2, 2]
  float repetition_penalty = 1.0F;                         // (0, 2]
  std::vector<std::pair<std::int32_t, float>> logit_bias;  // bias in [-100, 100]
  std::vector<std::vector<std::int32_t>> bad_words;        // token sequences never completed
  std::vector<std::int32_t> allowed_token_ids;             // empty = all
  std::optional<std::uint64_t> seed;
  int logprobs = -1;         // -1 = none; 0..20 = chosen token plus that many alternatives
  int prompt_logprobs = -1;  // the same for prompt tokens
  int min_tokens = 0;        // stop ids and stop strings do not end the text before
  int max_tokens = 16;       // 0 only with echo: score the prompt
  bool ignore_eos = false;
  std::vector<std::int32_t> stop_token_ids;
  // The model's own end-of-sequence ids (generation_config.json), filled in by the service;
  // ignore_eos switches them off.
  std::vector<std::int32_t> eos_token_ids;
};

// Ranges as above, token ids within [0, vocab_size). The error names the field.
Status validate(const SamplingParams& params, int vocab_size);

}  // namespace dejavu
