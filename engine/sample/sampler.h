// From one row of logits to one token. Pure functions of (logits, state): the answer depends on
// nothing else in the batch, and rows may run on any worker that brings its own scratch.
//
// Order and meaning are vLLM's: allowed_token_ids, bad_words, min_tokens, logit_bias, repetition,
// frequency and presence penalties, temperature, min_p, top_k, top_p, draw. Ties go to the lowest
// id. NaN counts as -inf. When everything is masked the text ends (end-of-sequence token), or, for
// a model without one, goes on with the most likely token.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/sample/sample_row.h"
#include "engine/sample/sampler_state.h"

namespace dejavu {

// Working memory of one worker; grows to the vocabulary once and is reused.
struct SampleScratch {
  std::vector<float> logits;
  std::vector<std::int32_t> ids;  // candidates, ascending
  std::vector<float> weights;     // of candidates, unnormalised; 0 = filtered out
  std::vector<float> selection;
  std::vector<double> masses;
  std::vector<std::int32_t> buckets;
  std::vector<std::int32_t> order;
};

// Samples the next token; log-probabilities when params().logprobs >= 0.
void sample_row(std::span<const float> logits, const SamplerState& state, SampleScratch& scratch,
                SampleOutput& out);

// Log-probability and rank of `token`, and of the `alternatives` most likely (at most
// kMaxLogprobs).
void score_row(std::span<const float> logits, std::int32_t token, int alternatives,
               SampleOutput& out);

// The distribution that sample_row draws from, one probability a token id.
std::vector<float> sampling_distribution(std::span<const float> logits, const SamplerState& state,
                                         SampleScratch& scratch);

}  // namespace dejavu
