// A scheduler without a model: the test plays the device and names every token.
#pragma once

#include <functional>
#include <string>

#include "engine/schedule/scheduler.h"

namespace dejavu {

class SchedulerHarness {
 public:
  explicit SchedulerHarness(const SchedulerLimits& limits, int pages = 1000);

  struct Ask {
    int prompt = 8;       // tokens
    int first_token = 1;  // prompts with the same one share a prefix
    int max_tokens = 4;
    int priority = 0;
    std::function<void(SequenceRequest&)> change = {};
  };
  SequencePtr add(const Ask& ask);

  StepPlan plan(int step_tokens = 1 << 20) { return scheduler.plan(now, step_tokens); }
  // Every sampling row answers `token`.
  void complete(const StepPlan& plan, std::int32_t token = 77);
  // Plans and completes; returns the plan.
  StepPlan step(int step_tokens = 1 << 20);

  // How many tokens of `sequence` a plan computes.
  static int count_in(const StepPlan& plan, const SequencePtr& sequence);
  static std::vector<TokenEvent> events(const SequencePtr& sequence);
  int used_pages() const {
    return scheduler.store().pool.pages() - scheduler.store().pool.free_pages();
  }

  QueueGate gate;
  Scheduler scheduler;
  TimePoint now{std::chrono::seconds(1000)};

 private:
  std::uint64_t next_id_ = 0;
};

}  // namespace dejavu
