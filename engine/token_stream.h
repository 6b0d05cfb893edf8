// The way of tokens from the engine thread to one consumer. The ring holds every token the sequence
// may produce, so the engine never waits for a slow client.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "engine/core/result.h"
#include "engine/core/ring.h"
#include "engine/model/sparsity_choice.h"

namespace dejavu {

struct TokenLogprob {
  std::int32_t token = 0;
  float logprob = 0;
  int rank = 0;
  std::vector<std::pair<std::int32_t, float>> top;  // most likely first
};

enum class FinishReason : std::uint8_t { kNone, kStop, kLength, kCancelled, kError };

// One generated token, or the end of the sequence. Small: a ring holds as many as the sequence may
// produce.
struct TokenEvent {
  std::int32_t token = -1;                      // -1: no token (the end without one)
  std::shared_ptr<const TokenLogprob> logprob;  // when asked for
  TokenDensity density;                         // of the forward pass that gave it
  FinishReason finish = FinishReason::kNone;
  std::int32_t stop_token = -1;        // the stop id that ended it (the token itself is `token`)
  std::shared_ptr<const Error> error;  // kError only
};

// Timings and counts of a sequence.
struct SequenceStats {
  double queue_seconds = 0;    // arrival to first scheduled
  double prefill_seconds = 0;  // first scheduled to first token
  int cached_tokens = 0;       // prompt tokens taken from the prefix cache
  int preemptions = 0;         // written before the last event
};

class TokenStream {
 public:
  // `notify` is called on the engine thread after events were pushed; it must only post elsewhere.
  TokenStream(std::size_t max_tokens, std::function<void()> notify)
      : ring_(max_tokens + 1), notify_(std::move(notify)) {}

  // Consumer thread.
  bool try_pop(TokenEvent& out) { return ring_.try_pop(out); }
  // Any thread; idempotent. The sequence is in no step planned afterwards.
  void cancel() { cancelled_.store(true, std::memory_order_release); }

  // Engine thread.
  bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }
  void push(TokenEvent event) { ring_.try_push(std::move(event)); }
  void notify() const {
    if (notify_) notify_();
  }

  // Written by the engine before the first event, but for preemptions; read by the consumer after
  // it.
  std::vector<TokenLogprob>
      prompt_logprobs;  // prompt_logprobs asked for: one a prompt token, first empty
  SequenceStats stats;

 private:
  Ring<TokenEvent> ring_;
  std::function<void()> notify_;
  std::atomic<bool> cancelled_{false};
};

}  // namespace dejavu
