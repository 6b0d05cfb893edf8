// The server's sampling defaults: --override-generation-config above generation_config.json above
// temperature 1 and top_p 1. As in vLLM, do_sample is not looked at.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/result.h"

namespace dejavu {

struct SamplingDefaults {
  float temperature = 1.0F;
  float top_p = 1.0F;
  float min_p = 0.0F;
  float repetition_penalty = 1.0F;
  int top_k = 0;
  std::optional<std::int64_t> max_tokens;  // max_new_tokens
  std::vector<std::int32_t> eos_token_ids;
  std::string description;  // one line for the log: each value and where it comes from
};

struct SamplingDefaultSources {
  std::string override_json;         // --override-generation-config; empty: none
  nlohmann::json generation_config;  // of the model; other keys are ignored
  std::vector<int> model_eos_token_ids;
};

// The error names the option or the file, and the key.
Result<SamplingDefaults> merge_sampling_defaults(const SamplingDefaultSources& sources);

}  // namespace dejavu
