// What the engine is asked for: one sequence. (A request with several prompts or n > 1 is several.)
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/sparsity_choice.h"
#include "engine/sample/sampling_params.h"
#include "engine/token_stream.h"

namespace dejavu {

struct SequenceRequest {
  std::vector<std::int32_t> prompt;  // at least one token
  SamplingParams sampling;
  SparsityChoice sparsity;       // of its generated tokens; prompts are computed dense
  std::string cache_salt;        // requests share prefix pages only under the same salt
  bool use_prefix_cache = true;  // false for prompt_logprobs and echo with logprobs
  int priority = 0;              // lower runs first, as in vLLM
  std::optional<std::chrono::steady_clock::time_point> deadline;
  std::chrono::steady_clock::time_point arrival = std::chrono::steady_clock::now();
  std::shared_ptr<TokenStream> stream;
};

}  // namespace dejavu
