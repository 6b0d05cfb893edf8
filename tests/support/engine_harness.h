// Submits sequences to an engine and gathers what comes back.
#pragma once

#include <memory>
#include <vector>

#include "engine/engine.h"
#include "engine/engine_create.h"
#include "tests/support/fake_model.h"

namespace dejavu {

struct Answer {
  std::vector<std::int32_t> tokens;
  std::vector<TokenEvent> events;
  FinishReason finish = FinishReason::kNone;  // kNone: not ended in time
  Error error;
};

// A stream, and the wait for its end.
class Listener {
 public:
  explicit Listener(int max_tokens);
  std::shared_ptr<TokenStream> stream() const { return stream_; }
  // Before submission: the engine's own thread cancels when it has rung this often (a token each),
  // so that the cancel lands there however late the client's thread is.
  void cancel_after(int rings);
  // Waits until `tokens` have come or the sequence ended; at most a minute.
  const Answer& wait(std::size_t tokens = static_cast<std::size_t>(-1));

 private:
  struct Bell;
  std::shared_ptr<Bell> bell_;
  std::shared_ptr<TokenStream> stream_;
  Answer answer_;
};

// An engine on the fake model.
struct FakeEngine {
  struct Setup {
    EngineOptions options;
    int vocab_size = 64;
    int max_model_len = 256;
    int kv_pages = 64;
    bool deferred = false;
    int launch_ahead = 0;
  };
  explicit FakeEngine(const Setup& setup);
  // Waits until nothing runs or waits; at most a minute. False when something stays.
  bool settle() const;

  FakeBackend backend;
  FakeTransformer* model = nullptr;  // the engine's
  std::unique_ptr<Engine> engine;
};

SequenceRequest make_request(std::vector<std::int32_t> prompt, const SamplingParams& params,
                             const Listener& listener);

// Submits one sequence, waits for its end.
Answer ask(Engine& engine, const std::vector<std::int32_t>& prompt, const SamplingParams& params);

// Tokens and the bits of their log-probabilities, which follow from every logit.
std::vector<std::uint32_t> bits_of(const Answer& answer);

}  // namespace dejavu
