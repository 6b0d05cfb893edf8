// What a request does to its logits before a token is chosen: masks, bias and penalties.
#pragma once

#include <span>

#include "engine/sample/sampler_state.h"

namespace dejavu {

// True when the parameters leave the logits as they are at this point of the output.
bool leaves_logits_alone(const SamplerState& state);

// Writes the processed, sane logits to `out` (same size as `raw`).
void process_logits(std::span<const float> raw, const SamplerState& state, std::span<float> out);

}  // namespace dejavu
