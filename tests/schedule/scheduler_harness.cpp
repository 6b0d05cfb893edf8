#include "tests/schedule/scheduler_harness.h"

namespace dejavu {

SchedulerHarness::SchedulerHarness(const SchedulerLimits& limits, int pages)
    : gate(Scheduler::max_running(limits), 1000), scheduler(limits, pages, gate) {}

SequencePtr SchedulerHarness::add(const Ask& ask) {
  SequenceRequest request;
  for (int i = 0; i < ask.prompt; ++i) request.prompt.push_back(ask.first_token + i);
  request.sampling.max_tokens = ask.max_tokens;
  request.priority = ask.priority;
  request.arrival = now;
  if (ask.change) ask.change(request);
  request.stream =
      std::make_shared<TokenStream>(static_cast<std::size_t>(request.sampling.max_tokens), [] {});
  const std::uint64_t id = next_id_++;
  auto sequence = std::make_shared<Sequence>(std::move(request), id, id);
  gate.try_enter(1);
  scheduler.add(sequence);
  return sequence;
}

void SchedulerHarness::complete(const StepPlan& plan, std::int32_t token) {
  std::vector<SampleOutput> outputs(static_cast<std::size_t>(plan.logit_rows()));
  for (SampleOutput& output : outputs) output.token = token;
  scheduler.complete(plan, outputs, now);
}

StepPlan SchedulerHarness::step(int step_tokens) {
  StepPlan planned = plan(step_tokens);
  complete(planned);
  return planned;
}

int SchedulerHarness::count_in(const StepPlan& plan, const SequencePtr& sequence) {
  for (const PlanRow& row : plan.rows) {
    if (row.sequence == sequence) return row.count;
  }
  return 0;
}

std::vector<TokenEvent> SchedulerHarness::events(const SequencePtr& sequence) {
  std::vector<TokenEvent> all;
  TokenEvent event;
  while (sequence->request.stream->try_pop(event)) all.push_back(event);
  return all;
}

}  // namespace dejavu
