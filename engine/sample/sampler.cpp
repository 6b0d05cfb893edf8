#include "engine/sample/sampler.h"

#include <numeric>

#include "engine/sample/candidates.h"
#include "engine/sample/logit_processors.h"
#include "engine/sample/philox.h"
#include "engine/sample/reduce.h"

namespace dejavu {
namespace {

// vLLM's bound below which sampling is greedy.
constexpr float kGreedyTemperature = 1e-5F;

std::int32_t first_with(std::span<const float> logits, float value) {
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (sane(logits[i]) == value) return static_cast<std::int32_t>(i);
  }
  return 0;
}

std::span<const float> processed(std::span<const float> raw, const SamplerState& state,
                                 SampleScratch& scratch) {
  if (scratch.logits.size() < raw.size()) scratch.logits.resize(raw.size());
  const std::span<float> out(scratch.logits.data(), raw.size());
  process_logits(raw, state, out);
  return out;
}

std::int32_t choose(std::span<const float> raw, const SamplerState& state, SampleScratch& scratch) {
  const SamplingParams& params = state.params();
  const bool greedy = params.temperature < kGreedyTemperature;
  const std::span<const float> logits =
      greedy && leaves_logits_alone(state) ? raw : processed(raw, state, scratch);
  const float top = max_sane(logits);
  if (top == kMinusInfinity) {
    if (!params.eos_token_ids.empty()) return params.eos_token_ids.front();
    return first_with(raw, max_sane(raw));
  }
  if (greedy) return first_with(logits, top);
  select_candidates(logits, top, params, scratch);
  const double u = uniform_draw(state.seed(), state.output().size());
  return scratch.ids[draw_candidate(u, scratch)];
}

}  // namespace

void sample_row(std::span<const float> logits, const SamplerState& state, SampleScratch& scratch,
                SampleOutput& out) {
  const std::int32_t token = choose(logits, state, scratch);
  if (state.params().logprobs >= 0) score_row(logits, token, state.params().logprobs, out);
  out.token = token;
}

std::vector<float> sampling_distribution(std::span<const float> logits, const SamplerState& state,
                                         SampleScratch& scratch) {
  std::vector<float> probabilities(logits.size(), 0.0F);
  const std::span<const float> work = processed(logits, state, scratch);
  const float top = max_sane(work);
  if (top == kMinusInfinity || state.params().temperature < kGreedyTemperature) {
    probabilities[static_cast<std::size_t>(choose(logits, state, scratch))] = 1;
    return probabilities;
  }
  select_candidates(work, top, state.params(), scratch);
  const double total = std::accumulate(scratch.weights.begin(), scratch.weights.end(), 0.0);
  for (std::size_t i = 0; i < scratch.ids.size(); ++i) {
    probabilities[static_cast<std::size_t>(scratch.ids[i])] =
        static_cast<float>(static_cast<double>(scratch.weights[i]) / total);
  }
  return probabilities;
}

}  // namespace dejavu
