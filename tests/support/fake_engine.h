// An Engine without a model: it plays, for each sequence, the tokens that a script chooses, one a
// step, from its own thread. Of a sparse sequence, tokens after the first have densities of 0.25
// (MLP) and 0.5 (heads).
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "engine/engine.h"
#include "engine/text/tokenizer.h"

namespace dejavu {

struct FakeEngineOptions {
  int vocab_size = 4096;
  int max_model_len = 1024;
  std::chrono::microseconds step{0};  // pause before each step
  // A sequence that has given so many tokens gives no more, until it is cancelled, its deadline
  // passes or it fails: a test can end it in time however late its thread is. 0: never.
  std::size_t hold_after = 0;
};

class FakeEngine final : public Engine {
 public:
  // The tokens a sequence would give without limits; max_tokens and stop ids are applied by the
  // engine.
  using Script = std::function<std::vector<std::int32_t>(const SequenceRequest&)>;

  FakeEngine(const FakeEngineOptions& options, Script script);
  ~FakeEngine() override;
  FakeEngine(const FakeEngine&) = delete;
  FakeEngine& operator=(const FakeEngine&) = delete;

  void set_observers(StepObserver, FatalHandler) override {}
  void start() override {}
  Status submit(std::vector<SequenceRequest> sequences) override;
  void wake() override { changed_.notify_all(); }
  EngineStats stats() const override;
  void stop(const Error& reason) override;
  const Transformer& model() const override { return *model_; }
  int max_model_len() const override { return options_.max_model_len; }

  // For tests.
  void refuse_with(std::optional<Error> error);
  void pause(bool paused);         // no step while paused
  void fail_running(Error error);  // ends every sequence with the error
  std::vector<SequenceRequest> submitted() const;
  bool wait_until_idle();  // false after a minute

 private:
  struct Running {
    SequenceRequest request;
    std::vector<std::int32_t> tokens;
    std::size_t next = 0;
    bool ended = false;
  };
  void run();
  void step();
  void advance(Running& sequence) const;
  static void end(Running& sequence, TokenEvent event);

  const FakeEngineOptions options_;
  const Script script_;
  const std::unique_ptr<Transformer> model_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Running> running_;
  std::vector<SequenceRequest> submitted_;
  std::optional<Error> refusal_;
  bool paused_ = false;
  bool stopping_ = false;
  std::uint64_t steps_ = 0;
  std::thread thread_;
};

// A script that says `text` and then the token `end`, if there is one.
FakeEngine::Script say(std::shared_ptr<const Tokenizer> tokenizer, const std::string& text,
                       std::optional<std::int32_t> end = std::nullopt);
// The same, but one token a byte, so that every string can be cut anywhere.
FakeEngine::Script spell(std::shared_ptr<const Tokenizer> tokenizer, const std::string& text,
                         std::optional<std::int32_t> end = std::nullopt);

}  // namespace dejavu
