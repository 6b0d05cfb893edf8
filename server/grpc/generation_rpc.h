// dejavu.v1.Generation on the callback API.
#pragma once

#include "dejavu/v1/generation.grpc.pb.h"
#include "server/generation_service.h"
#include "server/grpc/options.h"

namespace dejavu {

class GenerationRpc final : public v1::Generation::CallbackService {
 public:
  GenerationRpc(const GrpcOptions& options, GenerationService& service)
      : options_(options), service_(service) {}

  grpc::ServerUnaryReactor* Generate(grpc::CallbackServerContext* context,
                                     const v1::GenerateRequest* request,
                                     v1::GenerateResponse* response) override;
  grpc::ServerWriteReactor<v1::GenerateStreamResponse>* GenerateStream(
      grpc::CallbackServerContext* context, const v1::GenerateRequest* request) override;
  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* context,
                                     const v1::TokenizeRequest* request,
                                     v1::TokenizeResponse* response) override;
  grpc::ServerUnaryReactor* Detokenize(grpc::CallbackServerContext* context,
                                       const v1::DetokenizeRequest* request,
                                       v1::DetokenizeResponse* response) override;
  grpc::ServerUnaryReactor* GetServerInfo(grpc::CallbackServerContext* context,
                                          const v1::GetServerInfoRequest* request,
                                          v1::GetServerInfoResponse* response) override;

  grpc::ServerUnaryReactor* GetSparsity(grpc::CallbackServerContext* context,
                                        const v1::GetSparsityRequest* request,
                                        v1::GetSparsityResponse* response) override;

 private:
  Status tokenize(const v1::TokenizeRequest& request, v1::TokenizeResponse& response);
  Status detokenize(const v1::DetokenizeRequest& request, v1::DetokenizeResponse& response);

  const GrpcOptions options_;
  GenerationService& service_;
};

}  // namespace dejavu
