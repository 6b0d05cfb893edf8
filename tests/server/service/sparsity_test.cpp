// What the service makes of a request's sparsity, and what it says was used.
#include <catch2/catch.hpp>

#include "tests/support/service_fixture.h"

using namespace dejavu;

namespace {

GenerateRequest sparse_request(const std::string& mode, std::int64_t max_tokens) {
  GenerateRequest request = text_request("Tell");
  request.sampling.max_tokens = max_tokens;
  request.sparsity.wish.mode = mode;
  return request;
}

std::vector<std::int32_t> endless(const SequenceRequest&) {
  return std::vector<std::int32_t>(100, 50);
}

}  // namespace

TEST_CASE("the runtime's choice reaches the engine for every choice of the request") {
  ServiceFixture fixture(endless);
  GenerateRequest request = sparse_request("lookahead", 2);
  request.n = 2;
  request.sparsity.wish.target_recall = 0.95;
  REQUIRE(fixture.run(request)->summary());
  REQUIRE(fixture.engine.submitted().size() == 2);
  for (const SequenceRequest& sequence : fixture.engine.submitted()) {
    CHECK(sequence.sparsity.mode == SparsityMode::kLookahead);
    CHECK(sequence.sparsity.level == 0);
  }
}

TEST_CASE("densities are means over the tokens of every choice") {
  ServiceFixture fixture(endless);
  GenerateRequest request = sparse_request("lookahead", 4);
  request.n = 2;
  const auto sink = fixture.run(request);
  REQUIRE(sink->summary());
  const SparsityUse& use = sink->summary()->sparsity;
  CHECK(use.mode == SparsityMode::kLookahead);
  CHECK(use.mlp_density == Approx((1 + 3 * 0.25) / 4));
  CHECK(use.head_density == Approx((1 + 3 * 0.5) / 4));
  CHECK_FALSE(sink->deltas().front().sparsity);

  const auto dense = fixture.run(sparse_request("", 4));
  CHECK(dense->summary()->sparsity.mode == SparsityMode::kDense);
  CHECK(dense->summary()->sparsity.mlp_density == 1);
}

TEST_CASE("per chunk: each delta says how its own tokens were computed") {
  ServiceFixture fixture(endless);
  for (const bool stream : {true, false}) {
    GenerateRequest request = sparse_request("lookahead", 3);
    request.stream = stream;
    request.sparsity.per_chunk = true;
    const auto sink = fixture.run(request);
    std::vector<double> densities;
    for (const TextDelta& delta : sink->deltas()) {
      REQUIRE(delta.sparsity);
      CHECK(delta.sparsity->mode == SparsityMode::kLookahead);
      densities.push_back(delta.sparsity->mlp_density);
    }
    CHECK(densities == (stream ? std::vector<double>{1, 0.25, 0.25} : std::vector<double>{0.5}));
  }
}

TEST_CASE("a refused wish ends the call before the engine sees it") {
  ServiceFixture fixture(endless);
  const auto mode = fixture.run(sparse_request("exact", 2));
  REQUIRE(mode->error());
  CHECK(mode->error()->code == ErrorCode::kInvalidArgument);
  CHECK(mode->error()->param == "sparsity.mode");
  GenerateRequest request = sparse_request("lookahead", 2);
  request.sparsity.wish.target_recall = 0.5;
  CHECK(fixture.run(request)->error()->param == "sparsity.target_recall");
  CHECK(fixture.engine.submitted().empty());
  CHECK(fixture.service->active_calls() == 0);
}

TEST_CASE("mode and status can be asked for, once the model is there") {
  ServiceFixture fixture(endless);
  CHECK(fixture.service->sparsity_mode({"lookahead", {}}) == SparsityMode::kLookahead);
  CHECK_FALSE(fixture.service->sparsity_mode({"exact", {}}));
  REQUIRE(fixture.service->sparsity_status());
  CHECK(fixture.service->sparsity_status()->layers.size() == 2);
  fixture.service->set_state(ServiceState::kLoading);
  CHECK(fixture.service->sparsity_status().error().code == ErrorCode::kUnavailable);
}
