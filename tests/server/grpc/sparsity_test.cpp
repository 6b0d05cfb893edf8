// Contextual sparsity over gRPC: asked for, refused, reported.
#include "tests/server/grpc/grpc_fixture.h"

using namespace dejavu;

namespace {

std::vector<std::int32_t> endless(const SequenceRequest&) {
  return std::vector<std::int32_t>(100, 50);
}

v1::GenerateRequest sparse_request(const std::string& mode) {
  v1::GenerateRequest request = request_of("hi", 3);
  request.mutable_sparsity()->set_mode(mode);
  return request;
}

}  // namespace

TEST_CASE("Generate computes in the mode asked for and says so") {
  GrpcFixture daemon(endless);
  grpc::ClientContext context;
  v1::GenerateResponse response;
  auto request = sparse_request("lookahead");
  request.mutable_sparsity()->set_target_recall(0.95);
  REQUIRE(daemon.stub->Generate(&context, request, &response).ok());
  CHECK(response.sparsity().mode() == "lookahead");
  CHECK(response.sparsity().mlp_density() == Approx(0.5));
  CHECK(response.sparsity().head_density() == Approx(2.0 / 3));
  CHECK(value_of(context.GetServerInitialMetadata(), "x-dejavu-sparsity") == "lookahead");
  CHECK(daemon.fixture.engine.submitted().front().sparsity.level == 0);

  grpc::ClientContext other;
  REQUIRE(daemon.stub->Generate(&other, request_of("hi", 3), &response).ok());
  CHECK(response.sparsity().mode() == "dense");
}

TEST_CASE("a stream reports per message when asked, and the whole at its end") {
  GrpcFixture daemon(endless);
  for (const bool per_chunk : {false, true}) {
    grpc::ClientContext context;
    auto request = sparse_request("lookahead");
    request.mutable_sparsity()->set_per_chunk(per_chunk);
    auto reader = daemon.stub->GenerateStream(&context, request);
    v1::GenerateStreamResponse message;
    std::vector<double> densities;
    while (reader->Read(&message)) {
      CHECK(message.has_sparsity() == (per_chunk || !message.has_choice()));
      if (message.has_sparsity()) densities.push_back(message.sparsity().mlp_density());
    }
    REQUIRE(reader->Finish().ok());
    CHECK(value_of(context.GetServerInitialMetadata(), "x-dejavu-sparsity") == "lookahead");
    CHECK(densities ==
          (per_chunk ? std::vector<double>{1, 0.25, 0.25, 0.5} : std::vector<double>{0.5}));
  }
}

TEST_CASE("a mode that is not allowed is INVALID_ARGUMENT and names its field") {
  GrpcFixture daemon(endless);
  grpc::ClientContext context;
  v1::GenerateResponse response;
  const grpc::Status status = daemon.stub->Generate(&context, sparse_request("exact"), &response);
  CHECK(status.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  CHECK_THAT(status.error_message(), Catch::Contains("lookahead"));
  CHECK(value_of(context.GetServerTrailingMetadata(), "error-param") == "sparsity.mode");
}

TEST_CASE("GetSparsity shows modes, levels and every layer") {
  GrpcFixture daemon(endless);
  grpc::ClientContext context;
  v1::GetSparsityResponse response;
  REQUIRE(daemon.stub->GetSparsity(&context, {}, &response).ok());
  CHECK(response.mode() == "lookahead");
  CHECK(response.target_recall() == 0.98);
  CHECK(response.allowed_size() == 2);
  CHECK(response.lookahead_levels(0) == 0.95);
  REQUIRE(response.layers_size() == 2);
  const v1::BlockSparsity& mlp = response.layers(0).mlp();
  CHECK(mlp.mode() == "lookahead");
  CHECK(mlp.density() == 0.25);
  CHECK(mlp.measured_density() == 0.25);
  CHECK(mlp.gather_steps() == 3);
  CHECK(mlp.audit().recall() == 0.9);
  CHECK(mlp.audit().widened() == 1);
  CHECK(response.layers(1).layer() == 1);
  CHECK_FALSE(response.layers(1).heads().has_measured_density());
}
