// What the sampler says about one row of logits. Packed, fixed size: it crosses from the device in
// the step's one download.
#pragma once

#include <cstdint>

#include "engine/sample/sampling_params.h"

namespace dejavu {

// Log-probabilities are those of the model itself: log-softmax of the raw logits, before penalties,
// bias, masks and temperature (vLLM's `raw_logprobs`). Equal ones rank by token id, lowest first.
struct SampleOutput {
  std::int32_t token = 0;
  float logprob = 0;  // of token; 0 when not asked for
  int rank = 0;       // of token, 1 = most likely; 0 when not asked for
  int top_count = 0;
  std::int32_t top_tokens[kMaxLogprobs] = {};
  float top_logprobs[kMaxLogprobs] = {};
};

}  // namespace dejavu
