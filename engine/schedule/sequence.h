// One sequence on its way through the engine: its tokens, its pages, and how far it is.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "engine/kv/page_table.h"
#include "engine/request.h"
#include "engine/sample/sample_row.h"

namespace dejavu {

using TimePoint = std::chrono::steady_clock::time_point;

enum class SequenceState : std::uint8_t { kWaiting, kRunning, kEnded };

class Sequence {
 public:
  // `id` orders sequences by arrival.
  Sequence(SequenceRequest request, std::uint64_t id, std::uint64_t seed);

  SequenceRequest request;  // its prompt moves to `tokens`
  const std::uint64_t id;
  const std::uint64_t seed;
  const int prompt_length;
  SequenceState state = SequenceState::kWaiting;

  std::vector<std::int32_t> tokens;  // prompt, then what was generated and is known here
  int pending = 0;                   // tokens sampled by launched steps, not known here yet
  int computed = 0;                  // tokens whose KV is written by launched steps
  int landed = 0;                    // of those, by steps that have ended
  int published = 0;                 // full pages offered to the prefix index
  int entered_with = 0;              // known tokens when it last began to run
  int in_flight = 0;                 // launched steps that hold this sequence
  int round = 0;  // counts preemptions: a step launched before one no longer speaks for `computed`
  int slot = -1;  // of the sampler, while running
  PageTable pages;

  // Tokens from here on are computed approximately: their pages are neither published to the prefix
  // index nor taken from it.
  int exact_end = std::numeric_limits<int>::max();

  int known() const { return static_cast<int>(tokens.size()) + pending; }
  int generated() const { return static_cast<int>(tokens.size()) - prompt_length; }
  std::span<const std::int32_t> prompt() const {
    return std::span(tokens).first(static_cast<std::size_t>(prompt_length));
  }
  std::span<const std::int32_t> output() const {
    return std::span(tokens).subspan(static_cast<std::size_t>(prompt_length));
  }
  // The name of full page `page`; its tokens are known.
  const PageDigest& digest(int page) { return chain_.digest(page, tokens); }
  // True once the tokens on their way are the last this sequence may have.
  bool is_full(int max_model_len) const;

  bool wants_prompt_logprobs() const { return request.sampling.prompt_logprobs >= 0; }
  // Prompt positions below this have their log-probability, or a launched step brings it.
  int scored = 1;

  // Records what a step said of prompt position `position`, or of the next token. The event says
  // whether the sequence ends with it.
  void take_score(int position, const SampleOutput& output);
  TokenEvent take_token(const SampleOutput& output, const TokenDensity& density, int max_model_len);

  void first_scheduled(TimePoint now, int cached_tokens);
  void preempted() { ++stats_.preemptions; }
  // Hands an event to the consumer; the first brings prompt log-probabilities and timings along.
  void send(TokenEvent event, TimePoint now);

 private:
  TokenLogprob to_logprob(const SampleOutput& output, int alternatives) const;

  PrefixChain chain_;
  std::vector<TokenLogprob> prompt_logprobs_;
  SequenceStats stats_;
  TimePoint scheduled_at_;
  bool was_scheduled_ = false;
  bool sent_any_ = false;
};

using SequencePtr = std::shared_ptr<Sequence>;

// Who goes first: lower priority value, then earlier arrival.
struct RunsBefore {
  bool operator()(const SequencePtr& a, const SequencePtr& b) const {
    if (a->request.priority != b->request.priority) {
      return a->request.priority < b->request.priority;
    }
    return a->id < b->id;
  }
};

}  // namespace dejavu
