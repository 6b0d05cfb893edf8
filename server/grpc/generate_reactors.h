// The reactors of Generate and GenerateStream: each owns itself until gRPC says it is done.
#pragma once

#include <grpcpp/grpcpp.h>

#include "dejavu/v1/generation.pb.h"
#include "server/generation_service.h"
#include "server/grpc/options.h"

namespace dejavu {

struct GenerateArgs {
  grpc::CallbackServerContext& context;
  const v1::GenerateRequest& message;
  GenerationService& service;
  const GrpcOptions& options;
  bool stream = false;
};

grpc::ServerUnaryReactor* start_generate(const GenerateArgs& args, v1::GenerateResponse& response);
grpc::ServerWriteReactor<v1::GenerateStreamResponse>* start_generate_stream(
    const GenerateArgs& args);

}  // namespace dejavu
