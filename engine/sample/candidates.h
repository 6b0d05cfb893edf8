// The temperature-scaled distribution over the tokens that min_p, top_k and top_p leave.
#pragma once

#include <span>

#include "engine/sample/sampler.h"

namespace dejavu {

// Fills scratch.ids and scratch.weights from processed logits whose largest value is `top` (not
// -inf). Weights are exp((logit - top) / temperature), 0 where filtered; at least one is above 0.
void select_candidates(std::span<const float> logits, float top, const SamplingParams& params,
                       SampleScratch& scratch);

// The candidate (an index into scratch.ids) at the share `u` of the weights, in id order. `u` in
// [0, 1).
std::size_t draw_candidate(double u, SampleScratch& scratch);

}  // namespace dejavu
