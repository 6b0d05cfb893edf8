// What the sampler is asked about one row of logits, and what it answers.
#pragma once

#include <cstdint>

#include "engine/sample/sampling_params.h"

namespace dejavu {

struct SampleRow {
  int slot = 0;
  // -1: sample the next token and advance the slot. Otherwise only score this token (prompt
  // logprobs).
  std::int32_t score = -1;
};

// Packed, fixed size: it crosses from the device in the step's one download. Log-probabilities are
// those of the model itself: log-softmax of the raw logits, before penalties, bias, masks and
// temperature (vLLM's `raw_logprobs`). Equal ones rank by token id, lowest first.
struct SampleOutput {
  std::int32_t token = 0;
  float logprob = 0;  // of token; 0 when not asked for
  int rank = 0;       // of token, 1 = most likely; 0 when not asked for
  int top_count = 0;
  std::int32_t top_tokens[kMaxLogprobs] = {};
  float top_logprobs[kMaxLogprobs] = {};
};

}  // namespace dejavu
