// One generate() call on its way: plans and submits the request, turns token events into text for
// the sink, and counts and logs the request when it ends.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/admin/metrics.h"
#include "server/choice_text.h"
#include "server/generation_service.h"
#include "server/loaded_model.h"
#include "server/request_plan.h"
#include "server/service_pool.h"
#include "server/sparsity_use.h"

namespace dejavu {

struct CallSetup {
  GenerateRequest request;
  std::shared_ptr<GenerationSink> sink;
  std::shared_ptr<const LoadedModel> model;  // null while loading
  SparsityChoice sparsity;
  std::optional<Error> refusal;  // decided at the door: only to be told to the sink
  std::shared_ptr<ServicePool> pool;
  Metrics* metrics = nullptr;
  bool log_prompt = false;
  std::function<void()> on_end;  // once, on a pool thread, before the sink hears of the end
};

class Call : public std::enable_shared_from_this<Call> {
 public:
  explicit Call(CallSetup setup);

  // Any thread: there is something to do. Runs of one call never overlap.
  void signal();
  void cancel();
  const std::string& request_id() const { return setup_.request.request_id; }

 private:
  using Clock = std::chrono::steady_clock;

  struct Choice {
    int prompt = 0;
    std::shared_ptr<TokenStream> stream;
    ChoiceText text;
    TextDelta delta;           // gathered and not yet handed to the sink
    DensityMean density = {};  // of the delta's tokens
    std::optional<Clock::time_point> last_token = std::nullopt;
    bool begun = false;  // an event came
    bool done = false;
    FinishReason finish = FinishReason::kNone;
  };

  void run();
  void start();
  void submit();
  Choice make_choice(int prompt, int k);
  void drain();
  void drain_choice(Choice& choice);
  void begin(Choice& choice);
  void take_token(Choice& choice, const TokenEvent& event);
  void end_choice(Choice& choice, const TokenEvent& event);
  void stop_early(Choice& choice, const std::string& stop);
  void note_token_time(Choice& choice);
  void deliver(Choice& choice);
  void finish();
  void fail(const Error& error);
  // Counts and logs; an empty outcome stands for the first choice's finish reason.
  void close(const std::string& outcome, int status);
  std::optional<std::string> prompt_text() const;  // for the log, when wanted
  void cancel_streams();
  bool is_eos(std::int32_t token) const;

  CallSetup setup_;
  const Clock::time_point arrival_ = Clock::now();
  std::atomic<int> pending_{0};
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> ended_{false};

  // Touched by run() only.
  bool started_ = false;
  std::vector<PlannedPrompt> plans_;
  std::vector<Choice> choices_;
  std::size_t open_choices_ = 0;
  CallSummary summary_;
  DensityMean density_;  // of every token of every choice
  std::optional<Clock::time_point> first_token_, last_token_;
  double gap_seconds_ = 0;  // between tokens of a choice, summed
  int gaps_ = 0;
};

}  // namespace dejavu
