#include "server/grpc/load_target.h"

#include <grpcpp/grpcpp.h>

#include <chrono>

#include "dejavu/v1/generation.grpc.pb.h"

namespace dejavu {
namespace {

using v1::GenerateStreamResponse;
using v1::Generation;

void authorize(grpc::ClientContext& context, const LoadSettings& settings) {
  if (!settings.api_key.empty()) {
    context.AddMetadata("authorization", "Bearer " + settings.api_key);
  }
}

// One stream; deletes itself when gRPC is done with it.
class StreamReactor final : public grpc::ClientReadReactor<GenerateStreamResponse> {
 public:
  StreamReactor(v1::GenerateRequest request, const LoadSettings& settings, LoadTarget::Done done)
      : request_(std::move(request)), done_(std::move(done)) {
    authorize(context_, settings);
  }

  void start(Generation::Stub& stub) {
    stub.async()->GenerateStream(&context_, &request_, this);
    StartRead(&response_);
    StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    if (response_.has_choice()) watch_.token();
    if (response_.has_usage()) {
      watch_.prompt_tokens = response_.usage().prompt_tokens();
      watch_.completion_tokens = response_.usage().completion_tokens();
    }
    StartRead(&response_);
  }

  void OnDone(const grpc::Status& status) override {
    std::string error;
    if (!status.ok()) {
      error = "gRPC " + std::to_string(status.error_code()) + ": " + status.error_message();
    }
    done_(watch_.finish(std::move(error)));
    delete this;
  }

 private:
  grpc::ClientContext context_;
  const v1::GenerateRequest request_;
  GenerateStreamResponse response_;
  LoadTarget::Done done_;
  LoadStopwatch watch_;
};

class GrpcTarget final : public LoadTarget {
 public:
  GrpcTarget(const std::string& address, LoadSettings settings)
      : settings_(std::move(settings)),
        stub_(
            Generation::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()))) {
  }

  Result<std::vector<std::int32_t>> tokenize(const std::string& text) override {
    v1::TokenizeRequest request;
    request.set_prompt(text);
    request.set_add_special_tokens(false);
    v1::TokenizeResponse response;
    grpc::ClientContext context;
    authorize(context, settings_);
    const grpc::Status status = stub_->Tokenize(&context, request, &response);
    if (!status.ok()) return fail(ErrorCode::kUnavailable, "--url: " + status.error_message());
    return std::vector<std::int32_t>(response.tokens().begin(), response.tokens().end());
  }

  void send(const LoadPrompt& prompt, Done done) override {
    v1::GenerateRequest request;
    if (prompt.ids.empty()) {
      request.set_prompt(prompt.text);
    } else {
      request.mutable_prompt_token_ids()->mutable_ids()->Assign(prompt.ids.begin(),
                                                                prompt.ids.end());
    }
    request.set_max_tokens(prompt.max_tokens);
    request.set_ignore_eos(settings_.ignore_eos);
    if (settings_.temperature) request.set_temperature(static_cast<float>(*settings_.temperature));
    auto reactor = std::make_unique<StreamReactor>(std::move(request), settings_, std::move(done));
    reactor.release()->start(*stub_);  // owns itself from here on
  }

 private:
  const LoadSettings settings_;
  const std::unique_ptr<Generation::Stub> stub_;
};

}  // namespace

std::unique_ptr<LoadTarget> make_grpc_target(const std::string& address,
                                             const LoadSettings& settings) {
  return std::make_unique<GrpcTarget>(address, settings);
}

}  // namespace dejavu
