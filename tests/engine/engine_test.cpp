// The engine on a fake model whose every token depends on the whole context.
#include "engine/engine.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <future>

#include "tests/support/engine_harness.h"

using namespace dejavu;
using namespace std::chrono_literals;

namespace {

// One device per way of launching: at once and one by one, at once and one ahead, late and one
// ahead.
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
