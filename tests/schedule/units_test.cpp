#include <catch2/catch.hpp>
#include <thread>

#include "engine/schedule/batch_builder.h"
#include "engine/schedule/chunk_sizer.h"
#include "engine/schedule/queue_gate.h"

using namespace dejavu;

TEST_CASE("chunks settle where a step takes the target time", "[schedule]") {
  ChunkSizer sizer(0.2, 2048);
  CHECK(sizer.step_tokens() == 32);
  // A machine with 20 ms of fixed cost and 1 ms a token: 180 tokens take 200 ms.
  for (int i = 0; i < 60; ++i) {
    const int tokens = sizer.step_tokens();
    sizer.measured(tokens - 4, tokens, 0.02 + 0.001 * tokens);
  }
  CHECK(sizer.step_tokens() >= 175);
  CHECK(sizer.step_tokens() <= 180);
  sizer.measured(3, 7, 0.02);  // a prompt's short end says nothing
  CHECK(sizer.step_tokens() >= 175);
  for (int i = 0; i < 60; ++i) sizer.measured(100, 100, 0.001);
  CHECK(sizer.step_tokens() == 2048);
}

TEST_CASE("the queue takes all sequences of a call or none", "[schedule]") {
  QueueGate gate(2, 3);
  CHECK(gate.try_enter(4));
  CHECK_FALSE(gate.try_enter(2));
  CHECK(gate.try_enter(1));
  CHECK_FALSE(gate.try_enter(1));
  gate.leave(1);
  gate.set_running(1);  // pages allow only one to run
  CHECK_FALSE(gate.try_enter(1));
  gate.set_running(2);
  CHECK(gate.try_enter(1));
  CHECK(gate.live() == 5);
}

TEST_CASE("the queue's bound holds against many threads", "[schedule]") {
  QueueGate gate(10, 90);
  std::atomic<int> entered{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) entered += gate.try_enter(3) ? 3 : 0;
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(entered == 99);
  CHECK(gate.live() == 99);
}

TEST_CASE("a plan is packed into one block that the batch points into", "[schedule]") {
  PageStore store(16);
  const auto make = [&](int prompt, int slot) {
    SequenceRequest request;
    for (int i = 0; i < prompt; ++i) request.prompt.push_back(100 * slot + i);
    auto sequence = std::make_shared<Sequence>(std::move(request), 0, 0);
    sequence->slot = slot;
    return sequence;
  };
  const auto a = make(20, 3);  // a prompt chunk with scores
  const auto b = make(5, 1);   // a decode of a token that is not known yet
  b->pending = 1;
  REQUIRE(b->pages.grow(store, 6));
  REQUIRE(a->pages.grow(store, 20));
  StepPlan plan;
  plan.rows.push_back({.sequence = b, .start = 5, .count = 1, .samples = true});
  plan.rows.push_back({.sequence = a, .start = 15, .count = 4, .score_begin = 17, .score_end = 19});
  plan.prompt_tokens = 4;
  plan.decode_tokens = 1;

  BatchBuilder builder;
  builder.build(plan);
  REQUIRE(builder.words().size() <=
          BatchBuilder::max_words(
              {.tokens = 5, .sequences = 2, .logit_rows = 3, .pages_per_sequence = 2}));
  const std::int32_t last_tokens[4] = {};
  const StepBatch batch = builder.at(builder.words().data(), last_tokens);
  REQUIRE(batch.tokens == 5);
  REQUIRE(batch.sequences == 2);
  REQUIRE(batch.logit_rows == 3);
  const auto list = [](const std::int32_t* from, int count) {
    return std::vector<std::int32_t>(from, from + count);
  };
  CHECK(list(batch.ids, 5) == std::vector<std::int32_t>{~1, 315, 316, 317, 318});
  CHECK(list(batch.positions, 5) == std::vector<std::int32_t>{5, 15, 16, 17, 18});
  const int a0 = a->pages.pages()[0];
  const int a1 = a->pages.pages()[1];
  const int b0 = b->pages.pages()[0];
  CHECK(list(batch.kv_slots, 5) ==
        std::vector<std::int32_t>{b0 * 16 + 5, a0 * 16 + 15, a1 * 16, a1 * 16 + 1, a1 * 16 + 2});
  CHECK(list(batch.threshold_level, 5) == std::vector<std::int32_t>(5, -1));
  CHECK(list(batch.lookahead_level, 5) == std::vector<std::int32_t>(5, -1));
  CHECK(batch.sparsity.dense == 5);
  CHECK(list(batch.query_start, 3) == std::vector<std::int32_t>{0, 1, 5});
  CHECK(list(batch.context_length, 2) == std::vector<std::int32_t>{6, 19});
  REQUIRE(batch.page_table_stride >= 2);
  CHECK(batch.page_table[0] == b0);
  CHECK(list(batch.page_table + batch.page_table_stride, 2) == std::vector<std::int32_t>{a0, a1});
  CHECK(list(batch.logit_tokens, 3) == std::vector<std::int32_t>{0, 2, 3});
  const auto& rows = builder.sample_rows();
  REQUIRE(rows.size() == 3);
  CHECK((rows[0].slot == 1 && rows[0].score == -1));
  CHECK((rows[1].slot == 3 && rows[1].score == 317));
  CHECK((rows[2].slot == 3 && rows[2].score == 318));
}

TEST_CASE("prompt tokens are dense and generated ones have their sequence's choice", "[schedule]") {
  PageStore store(16);
  StepPlan plan;
  const auto add = [&](SparsityChoice choice, int start, int count) {
    SequenceRequest request;
    request.prompt.assign(4, 7);
    request.sparsity = choice;
    auto sequence = std::make_shared<Sequence>(std::move(request), 0, 0);
    sequence->slot = 0;
    sequence->tokens.resize(8, 9);  // four were generated before it was preempted
    REQUIRE(sequence->pages.grow(store, 8));
    plan.rows.push_back({.sequence = sequence, .start = start, .count = count});
    plan.prompt_tokens += count;
  };
  add({SparsityMode::kLookahead, 2}, 2, 5);
  add({SparsityMode::kThreshold, 1}, 5, 1);
  add({SparsityMode::kExact, -1}, 3, 2);
  BatchBuilder builder;
  builder.build(plan);
  const StepBatch batch = builder.at(builder.words().data(), nullptr);
  const auto list = [](const std::int32_t* from) {
    return std::vector<std::int32_t>(from, from + 8);
  };
  CHECK(list(batch.lookahead_level) == std::vector<std::int32_t>{-1, -1, 2, 2, 2, -1, -1, -1});
  CHECK(list(batch.threshold_level) == std::vector<std::int32_t>{-1, -1, -1, -1, -1, 1, -1, -1});
  CHECK(batch.sparsity.dense == 3);
  CHECK(batch.sparsity.exact == 1);
  CHECK(batch.sparsity.threshold == 1);
  CHECK(batch.sparsity.lookahead == 3);
  CHECK(batch.choices[1].mode == SparsityMode::kDense);
  CHECK((batch.choices[2].mode == SparsityMode::kLookahead && batch.choices[2].level == 2));
  CHECK(batch.choices[7].mode == SparsityMode::kExact);
}
