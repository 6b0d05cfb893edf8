#include "engine/schedule/sequence.h"

#include <algorithm>

namespace dejavu {
namespace {

double seconds_between(TimePoint from, TimePoint to) {
  return std::chrono::duration<double>(to - from).count();
}

bool contains(const std::vector<std::int32_t>& tokens, std::int32_t token) {
  return std::find(tokens.begin(), tokens.end(), token) != tokens.end();
}

}  // namespace

Sequence::Sequence(SequenceRequest asked, std::uint64_t arrival_id, std::uint64_t sampling_seed)
    : request(std::move(asked)),
      id(arrival_id),
      seed(sampling_seed),
      prompt_length(static_cast<int>(request.prompt.size())),
      tokens(std::move(request.prompt)),
      chain_(request.cache_salt) {
  if (request.sparsity.approximate()) exact_end = prompt_length;
  if (wants_prompt_logprobs()) prompt_logprobs_.resize(tokens.size());
}

bool Sequence::is_full(int max_model_len) const {
  if (pending == 0) return false;  // had it been full, it would have ended
  return generated() + pending >= request.sampling.max_tokens || known() >= max_model_len;
}

TokenLogprob Sequence::to_logprob(const SampleOutput& output, int alternatives) const {
  TokenLogprob result{output.token, output.logprob, output.rank, {}};
  const int count = std::min(alternatives, output.top_count);
  result.top.reserve(static_cast<std::size_t>(std::max(count, 0)));
  for (int i = 0; i < count; ++i) {
    result.top.emplace_back(output.top_tokens[i], output.top_logprobs[i]);
  }
  return result;
}

void Sequence::take_score(int position, const SampleOutput& output) {
  prompt_logprobs_[static_cast<std::size_t>(position)] =
      to_logprob(output, request.sampling.prompt_logprobs);
}

TokenEvent Sequence::take_token(const SampleOutput& output, const TokenDensity& density,
                                int max_model_len) {
  const SamplingParams& params = request.sampling;
  const bool may_stop = generated() >= params.min_tokens;
  tokens.push_back(output.token);
  TokenEvent event;
  event.token = output.token;
  event.density = density;
  if (params.logprobs >= 0)
    event.logprob = std::make_shared<const TokenLogprob>(to_logprob(output, params.logprobs));
  const bool stops = contains(params.stop_token_ids, output.token) ||
                     (!params.ignore_eos && contains(params.eos_token_ids, output.token));
  if (stops && may_stop) {
    event.finish = FinishReason::kStop;
    event.stop_token = output.token;
  } else if (generated() >= params.max_tokens || static_cast<int>(tokens.size()) >= max_model_len) {
    event.finish = FinishReason::kLength;
  }
  return event;
}

void Sequence::first_scheduled(TimePoint now, int cached_tokens) {
  if (was_scheduled_) return;
  was_scheduled_ = true;
  scheduled_at_ = now;
  stats_.queue_seconds = std::max(0.0, seconds_between(request.arrival, now));
  stats_.cached_tokens = cached_tokens;
}

void Sequence::send(TokenEvent event, TimePoint now) {
  TokenStream& stream = *request.stream;
  if (!sent_any_) {
    sent_any_ = true;
    if (was_scheduled_) {
      stats_.prefill_seconds = seconds_between(scheduled_at_, now);
    } else {
      stats_.queue_seconds = std::max(0.0, seconds_between(request.arrival, now));
    }
    stream.prompt_logprobs = std::move(prompt_logprobs_);
    stream.stats = stats_;
  }
  if (event.finish != FinishReason::kNone) stream.stats.preemptions = stats_.preemptions;
  stream.push(std::move(event));
  stream.notify();
}

}  // namespace dejavu
