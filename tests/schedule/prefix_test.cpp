// What the scheduler shares through the prefix index, and what it must not.
#include <catch2/catch.hpp>

#include "tests/schedule/scheduler_harness.h"

using namespace dejavu;

namespace {

SchedulerLimits caching_limits() {
  SchedulerLimits limits;
  limits.max_num_seqs = 8;
  limits.max_model_len = 512;
  return limits;
}

void finish(SchedulerHarness& harness) {
  while (!harness.step().rows.empty()) {
  }
}

int start_of(const StepPlan& plan, const SequencePtr& sequence) {
  for (const PlanRow& row : plan.rows) {
    if (row.sequence == sequence) return row.start;
  }
  return -1;
}

}  // namespace

TEST_CASE("a prompt seen before is taken from its pages, but for its last token", "[schedule]") {
  SchedulerHarness harness(caching_limits());
  harness.add({.prompt = 50});
  finish(harness);
  CHECK(harness.used_pages() == 0);

  const auto again = harness.add({.prompt = 50});
  const auto longer = harness.add({.prompt = 70});
  const auto exact = harness.add({.prompt = 48});
  const auto other = harness.add({.prompt = 50, .first_token = 2});
  const StepPlan plan = harness.step();
  CHECK(start_of(plan, again) == 48);
  CHECK(start_of(plan, longer) == 48);
  CHECK(start_of(plan, exact) == 32);  // one token must be computed: its page is
  CHECK(start_of(plan, other) == 0);
  finish(harness);
  CHECK(again->request.stream->stats.cached_tokens == 48);
  CHECK(harness.scheduler.counters().prefix_hit_tokens == 48 + 48 + 32);
  CHECK(harness.scheduler.counters().prefix_query_tokens == 50 + 50 + 70 + 48 + 50);
}

TEST_CASE("salts part the cache, and a request may stay out of it", "[schedule]") {
  SchedulerHarness harness(caching_limits());
  const auto salted = [](SequenceRequest& request) { request.cache_salt = "tenant"; };
  const auto aloof = [](SequenceRequest& request) { request.use_prefix_cache = false; };
  harness.add({.prompt = 50, .change = aloof});
  finish(harness);
  const auto first = harness.add({.prompt = 50});
  CHECK(start_of(harness.step(), first) == 0);  // nothing was published
  finish(harness);
  const auto a = harness.add({.prompt = 50, .change = salted});
  const auto b = harness.add({.prompt = 50, .change = aloof});
  const StepPlan plan = harness.step();
  CHECK(start_of(plan, a) == 0);
  CHECK(start_of(plan, b) == 0);
}

TEST_CASE("siblings wait for the first one's prompt and share it", "[schedule]") {
  SchedulerHarness harness(caching_limits());
  std::vector<SequencePtr> siblings;
  for (int i = 0; i < 4; ++i) siblings.push_back(harness.add({.prompt = 100}));
  const auto stranger = harness.add({.prompt = 100, .first_token = 500});
  const StepPlan first = harness.step();
  CHECK(SchedulerHarness::count_in(first, siblings[0]) == 100);
  CHECK(SchedulerHarness::count_in(first, stranger) == 100);  // is not held back with them
  CHECK(first.rows.size() == 2);
  const StepPlan second = harness.step();
  for (int i = 1; i < 4; ++i) {
    CHECK(start_of(second, siblings[static_cast<std::size_t>(i)]) == 96);
  }
  CHECK(harness.used_pages() == 6 + 4 * 1 + 7);
}

TEST_CASE("siblings go on when the first one is cancelled", "[schedule]") {
  SchedulerHarness harness(caching_limits());
  const auto first = harness.add({.prompt = 100});
  const auto second = harness.add({.prompt = 100});
  const StepPlan plan = harness.plan(32);
  CHECK(SchedulerHarness::count_in(plan, second) == 0);
  first->request.stream->cancel();
  const StepPlan next = harness.plan();
  CHECK(SchedulerHarness::count_in(next, second) == 100);
  harness.complete(plan);
  harness.complete(next);
  finish(harness);
  CHECK(SchedulerHarness::events(second).size() == 4);
}

TEST_CASE("generated pages are shared, tokens past a stop and inexact ones never", "[schedule]") {
  SchedulerHarness harness(caching_limits());
  // 30 prompt tokens and two answers fill two pages; the third token is a stop, and a step that
  // computes its KV is in flight when that is found out.
  const auto ask = harness.add({.prompt = 30, .max_tokens = 40, .change = [](auto& request) {
                                  request.sampling.stop_token_ids = {99};
                                }});
  harness.complete(harness.plan(), 70);
  harness.complete(harness.plan(), 71);
  StepPlan ahead = harness.plan();
  for (int i = 0; i < 16; ++i) {
    StepPlan next = harness.plan();
    harness.complete(ahead, i == 15 ? 99 : 72);
    ahead = std::move(next);
  }
  REQUIRE(ask->state == SequenceState::kEnded);
  REQUIRE(ask->tokens.size() == 48);  // the step in flight fills the third page with the stop's KV
  harness.complete(ahead, 73);
  CHECK(harness.used_pages() == 0);

  auto tokens = ask->tokens;
  tokens.push_back(73);
  tokens.push_back(74);  // three full pages could be asked for
  const auto follow_up = harness.add({.change = [&](auto& r) { r.prompt = tokens; }});
  CHECK(start_of(harness.step(), follow_up) == 32);
  finish(harness);

  const auto inexact = harness.add({.prompt = 60, .first_token = 1000});
  inexact->exact_end = 33;
  finish(harness);
  const auto after = harness.add({.prompt = 60, .first_token = 1000});
  CHECK(start_of(harness.step(), after) == 32);
}

TEST_CASE("a preempted sequence comes back through the index", "[schedule]") {
  SchedulerLimits limits = caching_limits();
  limits.max_model_len = 96;
  SchedulerHarness harness(limits, 7);
  const auto old = harness.add({.prompt = 40, .max_tokens = 20});
  const auto young = harness.add({.prompt = 40, .first_token = 200, .max_tokens = 30});
  while (young->state != SequenceState::kWaiting) harness.step();
  while (young->state == SequenceState::kWaiting) harness.step();
  CHECK(young->request.stream->stats.preemptions == 0);  // told at the end
  finish(harness);
  CHECK(old->state == SequenceState::kEnded);
  CHECK(SchedulerHarness::events(young).size() == 30);
  CHECK(young->request.stream->stats.preemptions == 1);
  CHECK(harness.used_pages() == 0);
}

TEST_CASE("an approximate sequence shares its prompt's pages and no others", "[schedule]") {
  SchedulerLimits limits = caching_limits();
  limits.max_model_len = 96;
  SchedulerHarness harness(limits, 7);
  const auto ask = [&] {
    return harness.add({.prompt = 20, .first_token = 200, .max_tokens = 50, .change = [](auto& r) {
                          r.sparsity = {SparsityMode::kLookahead, 0};
                        }});
  };
  const auto first = ask();
  finish(harness);
  // Its text as a prompt: only the first page is there.
  const auto same_text = [&](SequenceRequest& request) { request.prompt = first->tokens; };
  const auto dense = harness.add({.max_tokens = 1, .change = same_text});
  CHECK(start_of(harness.step(), dense) == 16);
  finish(harness);

  // Now the whole text is there. Preempted, the same request computes its own tokens again.
  harness.add({.prompt = 40, .max_tokens = 50});
  const auto again = ask();
  while (again->round == 0 && again->state != SequenceState::kEnded) harness.step();
  REQUIRE(again->round == 1);
  CHECK(again->generated() > 16);
  StepPlan plan = harness.step();
  while (start_of(plan, again) < 0) plan = harness.step();
  CHECK(start_of(plan, again) <= 16);
  finish(harness);
  CHECK(again->tokens == first->tokens);
}
