#include "engine/sample/sampling_params.h"

#include <catch2/catch.hpp>
#include <functional>
#include <limits>

using namespace dejavu;

TEST_CASE("every parameter is held to its range, and the error names it", "[sample]") {
  constexpr int kVocab = 100;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  REQUIRE(validate({}, kVocab));

  struct Case {
    const char* field;
    std::function<void(SamplingParams&)> spoil;
  };
  const std::vector<Case> refused = {
      {"temperature", [](auto& p) { p.temperature = -0.1F; }},
      {"temperature", [&](auto& p) { p.temperature = nan; }},
      {"temperature", [&](auto& p) { p.temperature = infinity; }},
      {"top_p", [](auto& p) { p.top_p = 0; }},
      {"top_p", [](auto& p) { p.top_p = 1.01F; }},
      {"top_p", [&](auto& p) { p.top_p = nan; }},
      {"top_k", [](auto& p) { p.top_k = -2; }},
      {"min_p", [](auto& p) { p.min_p = -0.1F; }},
      {"min_p", [](auto& p) { p.min_p = 1.1F; }},
      {"presence_penalty", [](auto& p) { p.presence_penalty = 2.1F; }},
      {"frequency_penalty", [](auto& p) { p.frequency_penalty = -2.1F; }},
      {"frequency_penalty", [&](auto& p) { p.frequency_penalty = nan; }},
      {"repetition_penalty", [](auto& p) { p.repetition_penalty = 0; }},
      {"repetition_penalty", [](auto& p) { p.repetition_penalty = 2.1F; }},
      {"logit_bias",
       [](auto& p) {
         p.logit_bias = {{5, 101.0F}};
       }},
      {"logit_bias",
       [](auto& p) {
         p.logit_bias = {{100, 1.0F}};
       }},
      {"bad_words", [](auto& p) { p.bad_words = {{}}; }},
      {"bad_words",
       [](auto& p) {
         p.bad_words = {{1, -1}};
       }},
      {"allowed_token_ids", [](auto& p) { p.allowed_token_ids = {100}; }},
      {"stop_token_ids", [](auto& p) { p.stop_token_ids = {-5}; }},
      {"logprobs", [](auto& p) { p.logprobs = 21; }},
      {"logprobs", [](auto& p) { p.logprobs = -2; }},
      {"prompt_logprobs", [](auto& p) { p.prompt_logprobs = 21; }},
      {"max_tokens", [](auto& p) { p.max_tokens = -1; }},
      {"min_tokens", [](auto& p) { p.min_tokens = -1; }},
      {"min_tokens", [](auto& p) { p.min_tokens = 17; }},  // above max_tokens
  };
  for (const Case& c : refused) {
    SamplingParams params;
    c.spoil(params);
    const auto status = validate(params, kVocab);
    INFO(c.field);
    REQUIRE_FALSE(status);
    CHECK(status.error().code == ErrorCode::kInvalidArgument);
    CHECK(status.error().param == c.field);
    CHECK(status.error().message.find(c.field) == 0);
  }

  SamplingParams edges;
  edges.temperature = 0;
  edges.top_p = 1e-6F;
  edges.top_k = -1;
  edges.min_p = 1;
  edges.presence_penalty = -2;
  edges.frequency_penalty = 2;
  edges.repetition_penalty = 2;
  edges.logit_bias = {{99, -100.0F}};
  edges.logprobs = 20;
  edges.min_tokens = edges.max_tokens;
  CHECK(validate(edges, kVocab));
}
