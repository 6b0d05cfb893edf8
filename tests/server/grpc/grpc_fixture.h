// A started gRPC server over the service with a fake engine, and a client.
#pragma once

#include <grpcpp/grpcpp.h>

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <utility>

#include "dejavu/v1/generation.grpc.pb.h"
#include "server/grpc/grpc_server.h"
#include "tests/support/service_fixture.h"

namespace dejavu {

struct GrpcFixture {
  explicit GrpcFixture(FakeEngine::Script script, ServiceFixture::Options options = {},
                       GrpcOptions grpc_options = {})
      : fixture(std::move(script), std::move(options)) {
    grpc_options.port = 0;
    auto started = GrpcServer::start(grpc_options, *fixture.service);
    REQUIRE(started);
    server = std::move(*started);
    channel = grpc::CreateChannel("127.0.0.1:" + std::to_string(server->port()),
                                  grpc::InsecureChannelCredentials());
    stub = v1::Generation::NewStub(channel);
  }

  ServiceFixture fixture;
  std::unique_ptr<GrpcServer> server;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::Generation::Stub> stub;
};

inline v1::GenerateRequest request_of(const std::string& prompt, int max_tokens) {
  v1::GenerateRequest request;
  request.set_prompt(prompt);
  request.set_max_tokens(max_tokens);
  return request;
}

// "" when the metadata lacks the key.
inline std::string value_of(const std::multimap<grpc::string_ref, grpc::string_ref>& metadata,
                            const char* key) {
  const auto it = metadata.find(key);
  return it == metadata.end() ? "" : std::string(it->second.data(), it->second.size());
}

}  // namespace dejavu
