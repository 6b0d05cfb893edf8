// The engine as one thread: takes requests in, plans, launches and collects steps.
#pragma once

#include <atomic>
#include <mutex>
#include <thread>

#include "engine/core/inbox.h"
#include "engine/engine.h"
#include "engine/schedule/chunk_sizer.h"
#include "engine/schedule/scheduler.h"
#include "engine/step_runner.h"

namespace dejavu {

class StepLoop final : public Engine {
 public:
  struct Parts {
    Backend& backend;
    std::unique_ptr<Transformer> model;
    std::unique_ptr<StepRunner> runner;
    EngineOptions options;
    SchedulerLimits limits;
    int pages = 0;
    // Steps launched before the oldest is collected, less one. Each of them delays the first's
    // tokens on a synchronous backend; 0 there, 1 where launches return at once.
    int launch_ahead = 0;
  };
  explicit StepLoop(Parts parts);
  ~StepLoop() override;

  void set_observers(StepObserver on_step, FatalHandler on_fatal) override;
  void start() override;
  Status submit(std::vector<SequenceRequest> sequences) override;
  void wake() override { inbox_.wake(); }
  EngineStats stats() const override;
  void stop(const Error& reason) override;

  const Transformer& model() const override { return *parts_.model; }
  int max_model_len() const override { return parts_.limits.max_model_len; }

 private:
  Status check(const SequenceRequest& request) const;
  void run();
  void take_in(std::vector<std::vector<SequenceRequest>> batches);
  // Plans and launches one step, and collects what is due. False after a device failure.
  bool step();
  bool collect();
  void fail_everything(const Error& error);
  void update_stats(bool busy);
  std::uint64_t seed_of(const SequenceRequest& request, std::uint64_t id) const;

  Parts parts_;
  QueueGate gate_;
  Scheduler scheduler_;
  ChunkSizer sizer_;
  std::uint64_t base_seed_;
  std::uint64_t next_id_ = 0;
  StepObserver on_step_;
  FatalHandler on_fatal_;
  Inbox<std::vector<SequenceRequest>> inbox_;
  std::thread thread_;
  std::mutex stop_mutex_;  // guards stop_reason_
  std::mutex join_mutex_;  // one stop() at a time
  Error stop_reason_;

  // What stats() reads; written by the engine thread.
  struct Shared {
    std::atomic<int> running{0}, waiting{0}, pages_used{0};
    std::atomic<std::uint64_t> query_tokens{0}, hit_tokens{0}, preemptions{0}, steps{0};
    std::atomic<TimePoint::rep> last_step{0};  // of the steady clock; 0: idle
  };
  Shared shared_;
};

}  // namespace dejavu
