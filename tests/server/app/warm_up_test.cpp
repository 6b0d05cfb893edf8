// Being ready means that the engine has measured this machine.
#include <catch2/catch.hpp>
#include <mutex>

#include "server/model_stack.h"
#include "tests/support/engine_harness.h"

using namespace dejavu;

namespace {

// Prompt tokens of each step.
struct Steps {
  explicit Steps(Engine& engine) {
    engine.set_observers(
        [this](const StepReport& report) {
          const std::lock_guard lock(mutex);
          prompt_tokens.push_back(report.prompt_tokens);
        },
        [](const Error&) {});
  }
  std::vector<int> take() {
    const std::lock_guard lock(mutex);
    return std::exchange(prompt_tokens, {});
  }

  std::mutex mutex;
  std::vector<int> prompt_tokens;
};

}  // namespace

TEST_CASE("after the warm-up the first prompt is cut by measured speed", "[app]") {
  FakeEngine fake({});
  Steps steps(*fake.engine);
  fake.engine->start();
  REQUIRE(warm_up(*fake.engine));
  const std::vector<int> warm = steps.take();
  REQUIRE(warm.size() > 1);
  SamplingParams params;
  params.max_tokens = 1;
  const Answer answer = ask(*fake.engine, std::vector<std::int32_t>(200, 3), params);
  REQUIRE(answer.finish == FinishReason::kLength);
  // The fake model is fast: once that is known, 200 tokens fit in a step.
  CHECK(steps.take().front() == 200);
  CHECK(warm.front() < 200);
}

TEST_CASE("a model of any context length warms up", "[app]") {
  FakeEngine::Setup setup;
  setup.max_model_len = GENERATE(2, 16, 97, 100);
  FakeEngine fake(setup);
  fake.engine->start();
  CHECK(warm_up(*fake.engine));
  CHECK(fake.settle());
}
