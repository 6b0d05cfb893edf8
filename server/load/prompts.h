// The prompts of a load run.
#pragma once

#include <cstdint>
#include <vector>

#include "server/load/load_target.h"
#include "server/load/options.h"

namespace dejavu {

// `random`: ids drawn at random from a text the target tokenised, exactly random_input_len of them.
// Else a JSON Lines file whose objects hold `prompt` or `text`, from its start and over again.
Result<std::vector<LoadPrompt>> make_prompts(const LoadOptions& options, std::uint64_t seed,
                                             LoadTarget& target);

}  // namespace dejavu
