// A request checked and turned into what the engine needs: token ids and sampling parameters for
// each prompt. Pure functions of the model and the request; any thread.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/sample/sampling_params.h"
#include "server/generation_service.h"
#include "server/loaded_model.h"
#include "server/prompt_encoder.h"

namespace dejavu {

struct PlannedPrompt {
  EncodedPrompt prompt;     // after truncation; text is filled for text, chat and echo
  SamplingParams sampling;  // of its choices, but for their seeds
};

// Choices a request asks for, prompts × n. INVALID_ARGUMENT when there are none or more than
// `max_n`. Looks at nothing else, so that it may run before any queueing.
Result<int> count_choices(const GenerateRequest& request, int max_n);

Result<std::vector<PlannedPrompt>> plan_request(const LoadedModel& model,
                                                const GenerateRequest& request);

// The seed of choice k of a prompt: the request's own for k = 0, else one derived from both.
std::uint64_t choice_seed(std::uint64_t seed, int k);

}  // namespace dejavu
