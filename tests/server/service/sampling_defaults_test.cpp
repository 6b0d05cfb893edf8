#include "server/sampling_defaults.h"

#include <catch2/catch.hpp>

using namespace dejavu;
using nlohmann::json;

TEST_CASE("defaults: override above generation_config.json above temperature 1 and top_p 1") {
  const auto plain = merge_sampling_defaults({"", json::object(), {2}});
  REQUIRE(plain);
  CHECK(plain->temperature == 1.0F);
  CHECK(plain->top_p == 1.0F);
  CHECK_FALSE(plain->max_tokens);
  CHECK(plain->eos_token_ids == std::vector<std::int32_t>{2});

  const json model{{"temperature", 0.7},        {"top_p", 0.9},       {"eos_token_id", {2, 5}},
                   {"max_new_tokens", 100},     {"do_sample", false}, {"top_k", nullptr},
                   {"repetition_penalty", 1.1}, {"pad_token_id", 1}};
  const auto merged = merge_sampling_defaults({R"({"temperature": 0, "top_k": 40})", model, {2}});
  REQUIRE(merged);
  CHECK(merged->temperature == 0.0F);
  CHECK(merged->top_p == 0.9F);
  CHECK(merged->top_k == 40);
  CHECK(merged->repetition_penalty == 1.1F);
  CHECK(merged->max_tokens == 100);
  CHECK(merged->eos_token_ids == std::vector<std::int32_t>{2, 5});
  CHECK_THAT(merged->description, Catch::Contains("temperature 0 (--override-generation-config)") &&
                                      Catch::Contains("top_p 0.9 (generation_config.json)") &&
                                      Catch::Contains("min_p 0 (default)"));

  const auto single = merge_sampling_defaults({"", json{{"eos_token_id", 7}}, {2}});
  REQUIRE(single);
  CHECK(single->eos_token_ids == std::vector<std::int32_t>{7});
}

TEST_CASE("a wrong override names the option and the key") {
  const auto error = [](const char* text) {
    const auto merged = merge_sampling_defaults({text, json::object(), {}});
    return merged ? std::string() : merged.error().message;
  };
  CHECK_THAT(error(R"({"temprature": 1})"),
             Catch::Contains("--override-generation-config") && Catch::Contains("temprature"));
  CHECK_THAT(error("[1]"), Catch::Contains("JSON object"));
  CHECK_THAT(error("{"), Catch::Contains("JSON object"));
  CHECK_THAT(error(R"({"top_p": 0})"), Catch::Contains("top_p"));
  CHECK_THAT(error(R"({"top_p": 1.5})"), Catch::Contains("top_p"));
  CHECK_THAT(error(R"({"temperature": "hot"})"), Catch::Contains("temperature"));
  CHECK_THAT(error(R"({"top_k": -2})"), Catch::Contains("top_k"));
  CHECK_THAT(error(R"({"max_new_tokens": 0})"), Catch::Contains("max_new_tokens"));
  CHECK_THAT(error(R"({"eos_token_id": ["</s>"]})"), Catch::Contains("eos_token_id"));
  CHECK(error("{}").empty());
}
