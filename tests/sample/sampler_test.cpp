// The sampler against distributions made with Hugging Face transformers and PyTorch
// (tools/make_sampler_goldens.py), and its behaviour at the edges.
#include "engine/sample/sampler.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "engine/sample/philox.h"

using namespace dejavu;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

SamplingParams params_from(const nlohmann::json& json, std::int32_t eos) {
  SamplingParams params;
  params.temperature = json.value("temperature", 1.0F);
  params.top_p = json.value("top_p", 1.0F);
  params.top_k = json.value("top_k", 0);
  params.min_p = json.value("min_p", 0.0F);
  params.presence_penalty = json.value("presence_penalty", 0.0F);
  params.frequency_penalty = json.value("frequency_penalty", 0.0F);
  params.repetition_penalty = json.value("repetition_penalty", 1.0F);
  params.logit_bias = json.value("logit_bias", params.logit_bias);
  params.bad_words = json.value("bad_words", params.bad_words);
  params.allowed_token_ids = json.value("allowed_token_ids", params.allowed_token_ids);
  params.min_tokens = json.value("min_tokens", 0);
  params.max_tokens = 100;
  params.eos_token_ids = {eos};
  return params;
}

SamplerState state_of(const SamplingParams& params, std::uint64_t seed = 0,
                      const std::vector<std::int32_t>& prompt = {},
                      const std::vector<std::int32_t>& output = {}) {
  SamplerState state;
  state.reset(params, seed, prompt, output);
  return state;
}

SampleOutput sample(const std::vector<float>& logits, const SamplerState& state) {
  SampleScratch scratch;
  SampleOutput output;
  sample_row(logits, state, scratch, output);
  return output;
}

std::vector<float> random_logits(std::size_t size, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, 2.5F);
  std::vector<float> logits(size);
  for (float& logit : logits) logit = normal(generator);
  return logits;
}

}  // namespace

TEST_CASE("distributions equal those of transformers' logits processors", "[sample]") {
  std::ifstream file(DEJAVU_SOURCE_DIR "/tests/sample/goldens/sampler.json");
  const auto goldens = nlohmann::json::parse(file);
  REQUIRE(goldens["cases"].size() >= 25);
  SampleScratch scratch;
  for (const auto& golden : goldens["cases"]) {
    INFO(golden["params"].dump());
    const auto params = params_from(golden["params"], goldens["eos_token_id"]);
    const auto logits = golden["logits"].get<std::vector<float>>();
    const auto state = state_of(params, 0, golden["prompt"], golden["output"]);
    const auto expected = golden["probabilities"].get<std::vector<float>>();
    const auto actual = sampling_distribution(logits, state, scratch);
    REQUIRE(actual.size() == expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i) {
      INFO("token " << i);
      REQUIRE((actual[i] == 0) == (expected[i] == 0));
      REQUIRE(actual[i] == Approx(expected[i]).epsilon(2e-6).margin(1e-12));
    }
    for (int token = 0; token < 4; ++token) {
      SampleOutput scored;
      score_row(logits, token, 5, scored);
      REQUIRE(scored.logprob == Approx(golden["logprobs"][token].get<float>()).margin(2e-6));
      REQUIRE(scored.top_count == 5);
      for (std::size_t i = 0; i < 5; ++i) {
        REQUIRE(scored.top_tokens[i] == golden["top_tokens"][i].get<int>());
        REQUIRE(scored.top_logprobs[i] ==
                Approx(golden["top_logprobs"][i].get<float>()).margin(2e-6));
      }
    }
  }
}

TEST_CASE("Philox gives its authors' known answers", "[sample]") {
  CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) ==
        PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}) ==
        PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("draws follow the distribution", "[sample]") {
  SamplingParams params;
  params.top_p = 0.95F;
  params.max_tokens = 1 << 20;
  // More candidates than one block of partial sums.
  const auto logits = random_logits(1000, 3);
  SampleScratch scratch;
  const auto expected = sampling_distribution(logits, state_of(params), scratch);
  constexpr int kDraws = 200000;
  std::vector<int> counts(logits.size());
  // One draw of many seeds, and many draws of one seed.
  const bool many_seeds = GENERATE(true, false);
  auto state = state_of(params, 99);
  for (int i = 0; i < kDraws; ++i) {
    if (many_seeds) state = state_of(params, static_cast<std::uint64_t>(i));
    SampleOutput output;
    sample_row(logits, state, scratch, output);
    ++counts[static_cast<std::size_t>(output.token)];
    if (!many_seeds) state.advance(output.token);
  }
  double chi_square = 0;
  int cells = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const double mean = kDraws * static_cast<double>(expected[i]);
    if (expected[i] == 0) REQUIRE(counts[i] == 0);
    if (mean < 5) continue;
    chi_square += (counts[i] - mean) * (counts[i] - mean) / mean;
    ++cells;
  }
  REQUIRE(cells > 200);
  // Six standard deviations above the mean of a chi-square with `cells` degrees of freedom.
  CHECK(chi_square < cells + 6 * std::sqrt(2.0 * cells));
  CHECK(chi_square > cells - 6 * std::sqrt(2.0 * cells));
}

TEST_CASE("greedy takes the lowest of equal ids and obeys masks", "[sample]") {
  SamplingParams params;
  params.temperature = 0;
  CHECK(sample({1, 5, 5, 2}, state_of(params)).token == 1);
  params.logit_bias = {{3, 10.0F}};
  CHECK(sample({1, 5, 5, 2}, state_of(params)).token == 3);
  params.bad_words = {{3}, {0, 1}};
  CHECK(sample({1, 5, 5, 2}, state_of(params)).token == 1);
  CHECK(sample({1, 5, 5, 2}, state_of(params, 0, {}, {0})).token == 2);
  CHECK(sample({1, 5, 5, 2}, state_of(params, 0, {0}, {})).token ==
        1);  // the prompt does not count
}

TEST_CASE("stops are masked before min_tokens", "[sample]") {
  SamplingParams params;
  params.temperature = 0;
  params.min_tokens = 2;
  params.eos_token_ids = {1};
  params.stop_token_ids = {2};
  const std::vector<float> logits = {1, 5, 4, 2};
  CHECK(sample(logits, state_of(params, 0, {}, {0})).token == 3);
  CHECK(sample(logits, state_of(params, 0, {}, {0, 0})).token == 1);
  params.ignore_eos = true;  // then it is a token like any other
  CHECK(sample(logits, state_of(params, 0, {}, {0})).token == 1);
}

TEST_CASE("a draw depends on logits, seed and position alone", "[sample]") {
  SamplingParams params;
  params.top_k = 40;
  params.top_p = 0.9F;
  params.presence_penalty = 0.5F;
  const auto logits = random_logits(5000, 1);
  const std::vector<std::int32_t> output = {4, 8, 15};
  auto advanced = state_of(params, 7, {1, 2});
  for (const std::int32_t token : output) advanced.advance(token);
  SampleScratch used;  // by another vocabulary size before
  SampleOutput first;
  sample_row(random_logits(70, 9), state_of(params, 1), used, first);
  sample_row(logits, advanced, used, first);
  CHECK(first.token == sample(logits, state_of(params, 7, {1, 2}, output)).token);
  int changed = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    changed += static_cast<int>(sample(logits, state_of(params, seed, {1, 2}, output)).token !=
                                first.token);
  }
  CHECK(changed > 5);
}

TEST_CASE("rows without sense still give a valid token", "[sample]") {
  SamplingParams params;
  params.logprobs = 3;
  params.top_p = 0.5F;
  params.top_k = 2;
  params.temperature = GENERATE(0.0F, 1e-4F, 1.0F, 1e30F);
  const auto output = sample({kNaN, 1, kNaN, 3}, state_of(params));
  CHECK((output.token == 3 || (params.temperature >= 1 && output.token == 1)));
  CHECK(std::isfinite(output.logprob));
  CHECK(sample({kNaN, kNaN, kNaN}, state_of(params)).token == 0);
  CHECK(std::isfinite(sample({kNaN, kNaN, kNaN}, state_of(params)).logprob));
  CHECK(sample({0, kInfinity, 1, -kInfinity}, state_of(params)).token == 1);
  CHECK(sample({-kInfinity, -kInfinity, -1000}, state_of(params)).token == 2);

  params.repetition_penalty = 0.001F;  // overflows
  CHECK(sample({3e38F, 0, 1}, state_of(params, 0, {0})).token == 0);
  params.repetition_penalty = 1;

  params.allowed_token_ids = {1};
  params.bad_words = {{1}};
  CHECK(sample({1, 2, 3}, state_of(params)).token == 2);
  params.eos_token_ids = {0};
  CHECK(sample({1, 2, 3}, state_of(params)).token == 0);
}

TEST_CASE("top-k keeps exactly k of distinct logits, however many are offered", "[sample]") {
  SampleScratch scratch;
  SamplingParams params;
  for (const std::size_t size : {std::size_t{3}, std::size_t{100}, std::size_t{5000}}) {
    auto logits = random_logits(size, 11);
    for (const int order : {0, 1, 2}) {
      if (order == 1) std::sort(logits.begin(), logits.end());
      if (order == 2) std::reverse(logits.begin(), logits.end());
      for (const int k : {1, 2, 63, 64, 65, 700, 4999}) {
        params.top_k = k;
        const auto p = sampling_distribution(logits, state_of(params), scratch);
        const auto kept = static_cast<std::size_t>(
            std::count_if(p.begin(), p.end(), [](float x) { return x > 0; }));
        REQUIRE(kept == std::min(size, static_cast<std::size_t>(k)));
      }
    }
  }
}

TEST_CASE("top-p keeps the smallest set that reaches p", "[sample]") {
  SampleScratch scratch;
  SamplingParams params;
  for (unsigned seed = 0; seed < 20; ++seed) {
    auto logits = random_logits(2000, seed);
    if (seed % 4 == 0) std::fill(logits.begin(), logits.end(), 1.0F);  // all equal
    params.top_p = 1.0F;
    auto full = sampling_distribution(logits, state_of(params), scratch);
    params.top_p = 0.05F * static_cast<float>(1 + seed % 19);
    const auto cut = sampling_distribution(logits, state_of(params), scratch);
    double kept = 0;
    float least = 1;
    for (std::size_t i = 0; i < full.size(); ++i) {
      if (cut[i] == 0) continue;
      kept += static_cast<double>(full[i]);
      least = std::min(least, full[i]);
    }
    const double p = static_cast<double>(params.top_p);
    CHECK(kept >= p - 1e-6);
    CHECK(kept - static_cast<double>(least) < p + 1e-6);
  }
}

TEST_CASE("ranks and alternatives order by log-probability, then id", "[sample]") {
  const std::vector<float> logits = {1, 3, 3, 0, 3};
  SampleOutput output;
  score_row(logits, 2, 4, output);
  CHECK(output.rank == 2);
  REQUIRE(output.top_count == 4);
  CHECK(std::vector<std::int32_t>(output.top_tokens, output.top_tokens + 4) ==
        std::vector<std::int32_t>{1, 2, 4, 0});
  score_row(logits, 3, 20, output);  // more alternatives than tokens
  CHECK(output.rank == 5);
  CHECK(output.top_count == 5);
  output = {};
  score_row(logits, 1, 0, output);  // none asked for
  CHECK(output.rank == 1);
  CHECK(output.top_count == 0);
  CHECK(output.top_tokens[0] == 0);
}
