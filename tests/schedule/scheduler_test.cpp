// What the scheduler decides, step by step, without a model or a clock of its own.
#include "engine/schedule/scheduler.h"

#include <catch2/catch.hpp>

#include "tests/schedule/scheduler_harness.h"

using namespace dejavu;
using namespace std::chrono_literals;

namespace {

SchedulerLimits limits_of(int seqs, int tokens) {
  SchedulerLimits limits;
  limits.max_num_seqs = seqs;
  limits.max_num_batched_tokens = tokens;
  limits.max_model_len = 512;
  limits.prefix_caching = false;
  return limits;
}

}  // namespace

TEST_CASE("a prompt is computed in chunks that end on pages, and the last one samples",
          "[schedule]") {
  SchedulerHarness harness(limits_of(4, 40));
  const auto sequence = harness.add({.prompt = 100, .max_tokens = 2});
  std::vector<int> counts;
  for (StepPlan plan = harness.step(); !plan.rows.empty(); plan = harness.step()) {
    counts.push_back(plan.tokens());
    CHECK(plan.rows[0].samples == (sequence->computed >= 100));
  }
  CHECK(counts == std::vector<int>{32, 32, 36, 1});
  const auto events = SchedulerHarness::events(sequence);
  REQUIRE(events.size() == 2);
  CHECK(events[0].finish == FinishReason::kNone);
  CHECK(events[1].finish == FinishReason::kLength);
  CHECK(harness.used_pages() == 0);
}

TEST_CASE("prompts never keep running sequences from their next token", "[schedule]") {
  SchedulerHarness harness(limits_of(8, 64));
  std::vector<SequencePtr> running;
  for (int i = 0; i < 4; ++i) running.push_back(harness.add({.prompt = 4, .max_tokens = 100}));
  harness.step();
  const auto urgent = harness.add({.prompt = 400, .max_tokens = 1, .priority = -1});
  for (int i = 0; i < 6; ++i) {
    const StepPlan plan = harness.step();
    for (const auto& sequence : running) REQUIRE(SchedulerHarness::count_in(plan, sequence) == 1);
    REQUIRE(SchedulerHarness::count_in(plan, urgent) == 48);
    REQUIRE(plan.tokens() <= 64);
  }
}

TEST_CASE("a step asked to be small still brings a prompt on by a page", "[schedule]") {
  SchedulerHarness harness(limits_of(8, 2048));
  const auto decoding = harness.add({.prompt = 4, .max_tokens = 100});
  harness.step();
  const auto prompt = harness.add({.prompt = 100});
  CHECK(SchedulerHarness::count_in(harness.step(1), prompt) == 16);
  CHECK(SchedulerHarness::count_in(harness.step(50), prompt) == 48);  // 49 left, on a page's end
  CHECK(SchedulerHarness::count_in(harness.step(1000), prompt) == 36);
  CHECK(decoding->generated() == 4);
}

TEST_CASE("who waits enters by priority, then by arrival, up to the limit", "[schedule]") {
  SchedulerHarness harness(limits_of(2, 2048));
  const auto a = harness.add({.priority = 1});
  const auto b = harness.add({});
  const auto c = harness.add({});
  const auto d = harness.add({.priority = -5});
  StepPlan plan = harness.step();
  REQUIRE(plan.rows.size() == 2);
  CHECK(plan.rows[0].sequence == d);
  CHECK(plan.rows[1].sequence == b);
  while (d->state == SequenceState::kRunning) plan = harness.step();
  plan = harness.step();
  CHECK(SchedulerHarness::count_in(plan, c) > 0);
  CHECK(SchedulerHarness::count_in(plan, a) > 0);
}

TEST_CASE("out of pages, the last in line goes and is recomputed, answer kept", "[schedule]") {
  SchedulerLimits limits = limits_of(4, 2048);
  limits.max_model_len = 64;
  SchedulerHarness harness(limits, 5);
  const auto low = harness.add({.prompt = 30, .max_tokens = 30, .priority = 1});
  const auto old = harness.add({.prompt = 30, .max_tokens = 30});
  harness.step();  // two pages each
  harness.step();  // positions 30
  harness.step();  // positions 31: pages full
  CHECK(harness.used_pages() == 4);
  const StepPlan plan = harness.step();  // one page left for two
  CHECK(plan.preemptions == 1);
  CHECK(SchedulerHarness::count_in(plan, old) == 1);
  CHECK(low->state == SequenceState::kWaiting);
  CHECK(harness.used_pages() == 3);
  while (old->state != SequenceState::kEnded) {
    CHECK(SchedulerHarness::count_in(harness.step(), low) == 0);
  }
  const StepPlan back = harness.step();
  CHECK(SchedulerHarness::count_in(back, low) == 33);  // prompt and what it had generated
  CHECK(back.rows[0].enters);
  while (low->state != SequenceState::kEnded) harness.step();
  CHECK(SchedulerHarness::events(low).size() == 30);
  CHECK(low->request.stream->stats.preemptions == 1);
  CHECK(harness.used_pages() == 0);
  CHECK(harness.gate.live() == 0);
}

TEST_CASE("a cancelled sequence is in no later plan; its pages return with the step in flight",
          "[schedule]") {
  SchedulerHarness harness(limits_of(4, 2048));
  const auto sequence = harness.add({.max_tokens = 10});
  const auto waiting = harness.add({.max_tokens = 10});
  const StepPlan first = harness.plan();
  sequence->request.stream->cancel();
  const StepPlan second = harness.plan();
  CHECK(SchedulerHarness::count_in(second, sequence) == 0);
  CHECK(harness.used_pages() == 2);
  harness.complete(first);
  CHECK(harness.used_pages() == 1);
  const auto events = SchedulerHarness::events(sequence);
  REQUIRE(events.size() == 1);  // the token in flight is not sent
  CHECK(events[0].finish == FinishReason::kCancelled);
  waiting->request.stream->cancel();
  CHECK(harness.plan().rows.empty());
  harness.complete(second);
  CHECK(harness.used_pages() == 0);
}

TEST_CASE("a passed deadline ends waiting and running sequences", "[schedule]") {
  SchedulerHarness harness(limits_of(1, 2048));
  const auto at = [&](TimePoint time) {
    return [time](SequenceRequest& request) { request.deadline = time; };
  };
  const auto running = harness.add({.max_tokens = 100, .change = at(harness.now + 2s)});
  const auto waiting = harness.add({.change = at(harness.now + 1s)});
  harness.step();
  harness.now += 1s;
  harness.step();
  CHECK(waiting->state == SequenceState::kEnded);
  CHECK(running->state == SequenceState::kRunning);
  harness.now += 1s;
  CHECK(harness.plan().rows.empty());
  for (const auto& sequence : {running, waiting}) {
    const auto events = SchedulerHarness::events(sequence);
    CHECK(events.back().finish == FinishReason::kError);
    CHECK(events.back().error->code == ErrorCode::kDeadlineExceeded);
  }
  CHECK(harness.used_pages() == 0);
}

TEST_CASE("a step ahead takes the token still on its way, and none past the end", "[schedule]") {
  SchedulerHarness harness(limits_of(4, 2048));
  const auto sequence = harness.add({.prompt = 8, .max_tokens = 3});
  const StepPlan a = harness.plan();
  const StepPlan b = harness.plan();
  REQUIRE(b.rows.size() == 1);
  CHECK(b.rows[0].start == 8);
  CHECK(b.rows[0].samples);
  harness.complete(a, 70);
  const StepPlan c = harness.plan();
  CHECK(c.rows.size() == 1);
  harness.complete(b, 71);
  CHECK(harness.plan().rows.empty());  // three tokens are sampled or on their way
  harness.complete(c, 72);
  CHECK(SchedulerHarness::events(sequence).back().finish == FinishReason::kLength);
  CHECK(harness.used_pages() == 0);
}

TEST_CASE("a token sampled past a stop is dropped", "[schedule]") {
  SchedulerHarness harness(limits_of(4, 2048));
  const auto sequence = harness.add({.max_tokens = 10, .change = [](SequenceRequest& request) {
                                       request.sampling.stop_token_ids = {70};
                                     }});
  const StepPlan a = harness.plan();
  const StepPlan b = harness.plan();
  harness.complete(a, 70);
  CHECK(harness.used_pages() == 1);
  harness.complete(b, 71);
  CHECK(harness.used_pages() == 0);
  const auto events = SchedulerHarness::events(sequence);
  REQUIRE(events.size() == 1);
  CHECK(events[0].token == 70);
  CHECK(events[0].stop_token == 70);
  CHECK(events[0].finish == FinishReason::kStop);
}

TEST_CASE("a prompt longer than the free pages waits and lets nobody pass", "[schedule]") {
  SchedulerLimits limits = limits_of(4, 2048);
  limits.max_model_len = 96;
  SchedulerHarness harness(limits, 6);
  const auto first = harness.add({.prompt = 40, .max_tokens = 2});
  const auto large = harness.add({.prompt = 80, .max_tokens = 2});
  const auto small = harness.add({.prompt = 4, .max_tokens = 2});
  CHECK(harness.step().rows.size() == 1);
  CHECK(harness.step().rows.size() == 1);
  CHECK(first->state == SequenceState::kEnded);
  const StepPlan plan = harness.step();
  CHECK(SchedulerHarness::count_in(plan, large) == 80);
  CHECK(SchedulerHarness::count_in(plan, small) == 4);
}

TEST_CASE("prompt log-probabilities cover every position once, within the row limit",
          "[schedule]") {
  SchedulerLimits limits = limits_of(4, 2048);
  limits.max_logit_rows = 24;
  SchedulerHarness harness(limits);
  const auto sequence = harness.add({.prompt = 50, .change = [](SequenceRequest& request) {
                                       request.sampling.prompt_logprobs = 0;
                                       request.sampling.max_tokens = 0;
                                     }});
  std::vector<int> scored;
  for (StepPlan plan = harness.step(); !plan.rows.empty(); plan = harness.step()) {
    REQUIRE(plan.logit_rows() <= 24);
    CHECK_FALSE(plan.rows[0].samples);
    for (int p = plan.rows[0].score_begin; p < plan.rows[0].score_end; ++p) scored.push_back(p);
  }
  REQUIRE(scored.size() == 49);
  for (int i = 0; i < 49; ++i) CHECK(scored[static_cast<std::size_t>(i)] == i + 1);
  const auto events = SchedulerHarness::events(sequence);
  REQUIRE(events.size() == 1);
  CHECK(events[0].token == -1);
  CHECK(events[0].finish == FinishReason::kLength);
  CHECK(sequence->request.stream->prompt_logprobs.size() == 50);
}
