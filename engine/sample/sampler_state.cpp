#include "engine/sample/sampler_state.h"

#include <algorithm>

namespace dejavu {

void SamplerState::reset(const SamplingParams& params, std::uint64_t seed,
                         std::span<const std::int32_t> prompt,
                         std::span<const std::int32_t> output) {
  params_ = params;
  seed_ = seed;
  output_.assign(output.begin(), output.end());
  counts_.clear();
  penalised_ = params.repetition_penalty != 1.0F || params.frequency_penalty != 0.0F ||
               params.presence_penalty != 0.0F;
  if (!penalised_) return;
  std::vector<std::int32_t> seen(prompt.begin(), prompt.end());
  std::sort(seen.begin(), seen.end());
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  counts_.reserve(seen.size() + static_cast<std::size_t>(std::max(params.max_tokens, 0)));
  for (const std::int32_t token : seen) counts_.push_back({token, 0});
  for (const std::int32_t token : output) count(token, 1);
}

void SamplerState::advance(std::int32_t token) {
  output_.push_back(token);
  if (penalised_) count(token, 1);
}

void SamplerState::count(std::int32_t token, int in_output) {
  const auto place =
      std::lower_bound(counts_.begin(), counts_.end(), token,
                       [](const TokenCount& entry, std::int32_t t) { return entry.token < t; });
  if (place != counts_.end() && place->token == token) {
    place->in_output += in_output;
  } else {
    counts_.insert(place, {token, in_output});
  }
}

}  // namespace dejavu
