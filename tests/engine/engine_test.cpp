// The engine on a fake model whose every token depends on the whole context.
#include "engine/engine.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

#include "tests/support/engine_harness.h"

using namespace dejavu;
using namespace std::chrono_literals;

namespace {

// Three ways to launch: one by one, one ahead on a device that has run when the call returns, and
// one ahead on a device that runs as late as it may.
FakeEngine::Setup setup_of(int way) {
  FakeEngine::Setup setup;
  setup.deferred = way == 2;
  setup.launch_ahead = way == 0 ? 0 : 1;
  setup.options.seed = 1;
  return setup;
}

SamplingParams params_of(int max_tokens, float temperature = 0) {
  SamplingParams params;
  params.max_tokens = max_tokens;
  params.temperature = temperature;
  params.seed = 5;
  return params;
}

std::vector<std::int32_t> prompt_of(int length, int salt = 0) {
  std::vector<std::int32_t> prompt;
  for (int i = 0; i < length; ++i) prompt.push_back((i * 7 + i / 5 + salt) % 64);
  return prompt;
}

Status submit_one(FakeEngine& fake, SequenceRequest request) {
  std::vector<SequenceRequest> requests;
  requests.push_back(std::move(request));
  return fake.engine->submit(std::move(requests));
}

// 250 tokens take so long that no client's thread is too late to end them.
void slow_step() { std::this_thread::sleep_for(50ms); }

}  // namespace

TEST_CASE("an engine answers as the model alone would", "[engine]") {
  FakeEngine fake(setup_of(GENERATE(0, 1, 2)));
  fake.engine->start();
  for (const float temperature : {0.0F, 1.0F}) {
    for (const int length : {1, 15, 16, 17, 100}) {
      const auto params = params_of(20, temperature);
      const Answer answer = ask(*fake.engine, prompt_of(length), params);
      CHECK(answer.tokens == fake_answer(prompt_of(length), params, 64, 256));
      CHECK(answer.finish == FinishReason::kLength);
    }
  }
  CHECK(fake.settle());
  CHECK(fake.model->misplaced() == 0);
}

TEST_CASE("a sequence ends at the context's end, at a stop, and not before min_tokens",
          "[engine]") {
  FakeEngine fake(setup_of(GENERATE(0, 1, 2)));
  fake.engine->start();
  const Answer full = ask(*fake.engine, prompt_of(250), params_of(100));
  CHECK(full.tokens.size() == 6);
  CHECK(full.finish == FinishReason::kLength);

  auto params = params_of(30);
  const auto free_run = fake_answer(prompt_of(9), params, 64, 256);
  params.stop_token_ids = {free_run[10]};
  const Answer stopped = ask(*fake.engine, prompt_of(9), params);
  CHECK(stopped.tokens == fake_answer(prompt_of(9), params, 64, 256));
  CHECK(stopped.tokens.size() <= 11);
  CHECK(stopped.finish == FinishReason::kStop);
  CHECK(stopped.events.back().token == free_run[10]);
  CHECK(stopped.events.back().stop_token == free_run[10]);

  std::swap(params.eos_token_ids, params.stop_token_ids);
  CHECK(ask(*fake.engine, prompt_of(9), params).tokens == stopped.tokens);
  params.ignore_eos = true;
  CHECK(ask(*fake.engine, prompt_of(9), params).tokens == free_run);
  params.ignore_eos = false;
  params.min_tokens = 20;
  const Answer longer = ask(*fake.engine, prompt_of(9), params);
  CHECK(longer.tokens.size() >= 20);
  CHECK(longer.tokens == fake_answer(prompt_of(9), params, 64, 256));
}

TEST_CASE("log-probabilities come with tokens and prompts", "[engine]") {
  FakeEngine fake(setup_of(GENERATE(0, 1, 2)));
  fake.engine->start();
  const auto prompt = prompt_of(70);
  auto params = params_of(GENERATE(0, 8), 1);
  params.logprobs = 2;
  params.prompt_logprobs = 3;
  Listener listener(params.max_tokens);
  REQUIRE(submit_one(fake, make_request(prompt, params, listener)));
  const Answer& answer = listener.wait();
  CHECK(answer.tokens == fake_answer(prompt, params, 64, 256));
  CHECK(answer.events.size() == std::max<std::size_t>(1, answer.tokens.size()));
  CHECK(answer.finish == FinishReason::kLength);

  auto context = prompt;
  for (const TokenEvent& event : answer.events) {
    if (event.token < 0) continue;
    SampleOutput expected;
    score_row(fake_logits(context, 64), event.token, 2, expected);
    CHECK(event.logprob->logprob == expected.logprob);
    CHECK(event.logprob->rank == expected.rank);
    REQUIRE(event.logprob->top.size() == 2);
    CHECK(event.logprob->top[0].first == expected.top_tokens[0]);
    context.push_back(event.token);
  }
  const auto& scores = listener.stream()->prompt_logprobs;
  REQUIRE(scores.size() == prompt.size());
  CHECK(scores[0].top.empty());
  for (std::size_t i = 1; i < prompt.size(); ++i) {
    SampleOutput expected;
    score_row(fake_logits(std::span(prompt).first(i), 64), prompt[i], 3, expected);
    CHECK(scores[i].token == prompt[i]);
    CHECK(scores[i].logprob == expected.logprob);
    CHECK(scores[i].rank == expected.rank);
    REQUIRE(scores[i].top.size() == 3);
  }
}

TEST_CASE("several sequences of a call enter together and share their prompt", "[engine]") {
  FakeEngine fake(setup_of(GENERATE(0, 1, 2)));
  fake.engine->start();
  std::vector<Listener> listeners;
  std::vector<SequenceRequest> requests;
  for (int i = 0; i < 8; ++i) {
    auto params = params_of(10, 1);
    params.seed = static_cast<std::uint64_t>(i);
    listeners.emplace_back(10);
    requests.push_back(make_request(prompt_of(100), params, listeners.back()));
  }
  REQUIRE(fake.engine->submit(std::move(requests)));
  for (int i = 0; i < 8; ++i) {
    auto params = params_of(10, 1);
    params.seed = static_cast<std::uint64_t>(i);
    auto& listener = listeners[static_cast<std::size_t>(i)];
    CHECK(listener.wait().tokens == fake_answer(prompt_of(100), params, 64, 256));
    CHECK(listener.stream()->stats.cached_tokens == (i == 0 ? 0 : 96));
  }
  CHECK(fake.model->computed() == 100 + 7 * 4 + 8 * 9);
  CHECK(fake.engine->stats().prefix_hit_tokens == 7 * 96);
}

TEST_CASE("a bad request is refused with its field and harms nobody", "[engine]") {
  FakeEngine fake(setup_of(0));
  fake.engine->start();
  const auto refused = [&](std::vector<std::int32_t> prompt, const SamplingParams& params) {
    Listener listener(params.max_tokens);
    const auto status = submit_one(fake, make_request(std::move(prompt), params, listener));
    REQUIRE_FALSE(status);
    CHECK(status.error().code == ErrorCode::kInvalidArgument);
    return status.error();
  };
  CHECK(refused({}, params_of(1)).param == "prompt");
  CHECK(refused({1, 64}, params_of(1)).param == "prompt");
  CHECK(refused({-1}, params_of(1)).param == "prompt");
  CHECK(refused(prompt_of(256), params_of(1)).reason == "context_length_exceeded");
  CHECK(refused(prompt_of(257), params_of(0)).reason == "context_length_exceeded");
  CHECK(refused({1}, params_of(1, -1)).param == "temperature");
  CHECK(ask(*fake.engine, prompt_of(256), params_of(0)).finish == FinishReason::kLength);
  CHECK(ask(*fake.engine, prompt_of(255), params_of(9)).tokens.size() == 1);
}

TEST_CASE("requests without a seed differ, and a server seed makes them repeat", "[engine]") {
  const auto answers = [](std::uint64_t seed) {
    FakeEngine::Setup setup = setup_of(0);
    setup.options.seed = seed;
    FakeEngine fake(setup);
    fake.engine->start();
    auto params = params_of(20, 1);
    params.seed.reset();
    return std::pair(ask(*fake.engine, {1}, params).tokens, ask(*fake.engine, {1}, params).tokens);
  };
  const auto first = answers(7);
  CHECK(first.first != first.second);
  CHECK(answers(7) == first);
  CHECK(answers(8) != first);
  CHECK(answers(0) != answers(0));
}

TEST_CASE("beyond the queue's bound calls are refused whole", "[engine]") {
  FakeEngine::Setup setup = setup_of(0);
  setup.options.max_num_seqs = 2;
  setup.options.max_queued = 3;
  FakeEngine fake(setup);
  std::vector<Listener> listeners;
  const auto submit = [&](int count) {
    std::vector<SequenceRequest> requests;
    for (int i = 0; i < count; ++i) {
      listeners.emplace_back(5);
      requests.push_back(make_request({1, 2}, params_of(5), listeners.back()));
    }
    return fake.engine->submit(std::move(requests));
  };
  CHECK(submit(4));
  const auto refused = submit(2);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kResourceExhausted);
  CHECK(submit(1));
  CHECK_FALSE(submit(1));
  CHECK(fake.engine->stats().waiting == 5);
  fake.engine->start();
  for (const std::size_t i : {0, 1, 2, 3, 6}) {
    CHECK(listeners[i].wait().tokens.size() == 5);
  }
  // A client that asks again when it has its answer is never turned away.
  CHECK(fake.settle());
  CHECK(submit(5));
}

TEST_CASE("cancelling and deadlines end a sequence that runs", "[engine]") {
  FakeEngine fake(setup_of(GENERATE(0, 1, 2)));
  fake.backend.on_wait = slow_step;
  fake.engine->start();
  Listener cancelled(250);
  REQUIRE(submit_one(fake, make_request({1, 2, 3}, params_of(250), cancelled)));
  cancelled.wait(3);
  cancelled.stream()->cancel();
  fake.engine->wake();
  CHECK(cancelled.wait().finish == FinishReason::kCancelled);
  CHECK(cancelled.wait().tokens.size() < 250);

  Listener late(250);
  auto request = make_request({1, 2, 3}, params_of(250), late);
  request.deadline = std::chrono::steady_clock::now() + 20ms;
  REQUIRE(submit_one(fake, std::move(request)));
  CHECK(late.wait().finish == FinishReason::kError);
  CHECK(late.wait().error.code == ErrorCode::kDeadlineExceeded);
  CHECK(fake.settle());
}

TEST_CASE("a device failure fails every stream, tells the handler, and refuses what comes after",
          "[engine]") {
  FakeEngine::Setup setup = setup_of(GENERATE(0, 1, 2));
  setup.options.max_num_seqs = 2;
  FakeEngine fake(setup);
  fake.backend.fail_after(5);
  std::atomic<int> fatal{0};
  fake.engine->set_observers(nullptr, [&](const Error& error) {
    fatal += static_cast<int>(error.message.find("the fake device is gone") != std::string::npos);
  });
  std::vector<Listener> listeners;
  for (int i = 0; i < 4; ++i) {
    listeners.emplace_back(100);
    REQUIRE(submit_one(fake, make_request({1, 2, 3}, params_of(100), listeners.back())));
  }
  fake.engine->start();
  for (Listener& listener : listeners) {
    CHECK(listener.wait().finish == FinishReason::kError);
    CHECK(listener.wait().error.code == ErrorCode::kInternal);
  }
  fake.engine->stop({ErrorCode::kUnavailable, "done", {}, {}});
  CHECK(fatal == 1);
  const Answer refused = ask(*fake.engine, {1}, params_of(1));
  CHECK(refused.error.code == ErrorCode::kUnavailable);
}

TEST_CASE("stopping fails what is left with the reason, started or not", "[engine]") {
  FakeEngine fake(setup_of(GENERATE(0, 1, 2)));
  fake.backend.on_wait = slow_step;
  Listener listener(250);
  REQUIRE(submit_one(fake, make_request({1, 2, 3}, params_of(250), listener)));
  if (GENERATE(true, false)) {
    fake.engine->start();
    listener.wait(2);
  }
  fake.engine->stop({ErrorCode::kUnavailable, "the drain deadline passed", {}, {}});
  fake.engine->stop({ErrorCode::kUnavailable, "again", {}, {}});
  CHECK(listener.wait().error.message == "the drain deadline passed");
  CHECK(fake.settle());
  CHECK(ask(*fake.engine, {1}, params_of(1)).error.code == ErrorCode::kUnavailable);
}

TEST_CASE("stats show a step that hangs, and nothing when idle", "[engine]") {
  FakeEngine fake(setup_of(0));
  std::atomic<bool> hang{true};
  fake.backend.on_wait = [&] {
    while (hang) std::this_thread::sleep_for(1ms);
  };
  std::atomic<int> prompt_tokens{0};
  fake.engine->set_observers([&](const StepReport& r) { prompt_tokens += r.prompt_tokens; }, {});
  fake.engine->start();
  std::this_thread::sleep_for(30ms);
  CHECK(fake.engine->stats().seconds_since_step == 0);
  Listener listener(3);
  REQUIRE(submit_one(fake, make_request(prompt_of(40), params_of(3), listener)));
  const auto limit = std::chrono::steady_clock::now() + 60s;
  while (fake.engine->stats().seconds_since_step < 0.05 &&
         std::chrono::steady_clock::now() < limit) {
    std::this_thread::sleep_for(1ms);
  }
  const EngineStats hanging = fake.engine->stats();
  CHECK(hanging.seconds_since_step >= 0.05);
  CHECK(hanging.running == 1);
  CHECK(hanging.kv_pages_used == 3);
  hang = false;
  CHECK(listener.wait().tokens.size() == 3);
  CHECK(fake.settle());
  const EngineStats idle = fake.engine->stats();
  CHECK(idle.seconds_since_step == 0);
  CHECK(prompt_tokens == 40);
  CHECK(idle.kv_pages_total == 64);
}

TEST_CASE("a cache too small for one sequence is refused with the numbers", "[engine]") {
  FakeBackend backend(false);
  EngineOptions options;
  options.kv_cache_bytes = 1000;
  const auto engine =
      Engine::create(backend, std::make_unique<FakeTransformer>(backend, 64, 4096), options);
  REQUIRE_FALSE(engine);
  CHECK(engine.error().message.find("max_model_len=4096") != std::string::npos);
  CHECK(engine.error().message.find("--kv-cache-memory") != std::string::npos);
  options.kv_cache_bytes = 0;
  options.max_num_seqs = 3;
  const auto sized =
      Engine::create(backend, std::make_unique<FakeTransformer>(backend, 64, 4096), options);
  REQUIRE(sized);
  CHECK((*sized)->stats().kv_pages_total == 3 * 4096 / 16);
}

namespace {

class HeavySparsity final : public StepSparsity {
 public:
  explicit HeavySparsity(std::size_t bytes) : bytes_(bytes) {}
  std::size_t memory_bytes() const override { return bytes_; }
  void begin_step(const StepBatch& /*batch*/) override {}
  std::optional<ReplayKey> replay_key() const override { return {}; }
  void end_step(std::span<TokenDensity> /*densities*/) override {}
  void step_ended() override {}

 private:
  std::size_t bytes_;
};

}  // namespace

TEST_CASE("the cache leaves room for what sparsity keeps", "[engine]") {
  FakeBackend backend(false);
  EngineOptions options;
  options.max_num_seqs = 1;
  const auto create = [&](std::size_t bytes) {
    HeavySparsity sparsity(bytes);
    return Engine::create(backend, std::make_unique<FakeTransformer>(backend, 64, 4096), options,
                          &sparsity)
        .map([](const auto&) { return true; });
  };
  CHECK(create(1000));
  const auto full = create(backend.info().memory_bytes - 1000);
  REQUIRE_FALSE(full);
  CHECK(full.error().code == ErrorCode::kResourceExhausted);
}
