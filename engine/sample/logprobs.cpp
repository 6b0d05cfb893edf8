#include <algorithm>
#include <cmath>

#include "engine/sample/exp.h"
#include "engine/sample/reduce.h"
#include "engine/sample/sampler.h"

namespace dejavu {

float max_sane(std::span<const float> values) {
  float lanes[kLanes];
  std::fill(std::begin(lanes), std::end(lanes), kMinusInfinity);
  std::size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const float value = sane(values[i + lane]);
      lanes[lane] = value > lanes[lane] ? value : lanes[lane];
    }
  }
  float best = kMinusInfinity;
  for (; i < values.size(); ++i) best = std::max(best, sane(values[i]));
  for (const float lane : lanes) best = std::max(best, lane);
  return best;
}

namespace {

// Fills `out.top_*` with the `count` most likely tokens, by logit, then lowest id.
void find_alternatives(std::span<const float> logits, int count, SampleOutput& out) {
  if (count == 0) return;
  float* values = out.top_logprobs;
  std::int32_t* tokens = out.top_tokens;
  int kept = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const float value = sane(logits[i]);
    if (kept == count && value <= values[kept - 1]) continue;
    int place = kept < count ? kept++ : kept - 1;
    for (; place > 0 && values[place - 1] < value; --place) {
      values[place] = values[place - 1];
      tokens[place] = tokens[place - 1];
    }
    values[place] = value;
    tokens[place] = static_cast<std::int32_t>(i);
  }
  out.top_count = kept;
}

}  // namespace

void score_row(std::span<const float> logits, std::int32_t token, int alternatives,
               SampleOutput& out) {
  const float top = max_sane(logits);
  // A row without a single number says nothing: every token is equally (un)likely.
  const bool empty = top == kMinusInfinity;
  const double sum =
      empty ? static_cast<double>(logits.size())
            : block_sum(logits, [top](float x) { return exp_nonpositive(sane(x) - top); });
  const double log_sum = std::log(sum);
  const auto logprob = [&](float value) {
    if (empty) return static_cast<float>(-log_sum);
    // JSON has no infinity: a masked token's logprob is the lowest float, as in vLLM.
    const double exact = static_cast<double>(value) - static_cast<double>(top) - log_sum;
    return static_cast<float>(
        std::max(exact, static_cast<double>(std::numeric_limits<float>::lowest())));
  };

  const auto index = static_cast<std::size_t>(token);
  const float value = sane(logits[index]);
  int above = 0;  // equal ones rank by id
  for (const float other : logits.first(index)) above += static_cast<int>(sane(other) >= value);
  for (const float other : logits.subspan(index)) above += static_cast<int>(sane(other) > value);
  out.token = token;
  out.logprob = logprob(value);
  out.rank = above + 1;
  find_alternatives(logits, std::clamp(alternatives, 0, kMaxLogprobs), out);
  for (int i = 0; i < out.top_count; ++i) out.top_logprobs[i] = logprob(out.top_logprobs[i]);
}

}  // namespace dejavu
