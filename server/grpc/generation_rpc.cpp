#include "server/grpc/generation_rpc.h"

#include <string>
#include <vector>

#include "server/grpc/call_context.h"
#include "server/grpc/generate_reactors.h"
#include "server/grpc/translate.h"
#include "server/request_identity.h"

namespace dejavu {

namespace {

// Runs a short method to its end behind the API key check.
template <class Work>
grpc::ServerUnaryReactor* answer(grpc::CallbackServerContext& context, const GrpcOptions& options,
                                 const Work& work) {
  context.AddInitialMetadata("x-request-id",
                             request_id_or_new(metadata_value(context, "x-request-id")));
  Status status = check_api_key(context, options);
  if (status) status = work();
  auto* reactor = context.DefaultReactor();
  reactor->Finish(status ? grpc::Status::OK : to_grpc_status(context, status.error()));
  return reactor;
}

}  // namespace

grpc::ServerUnaryReactor* GenerationRpc::Generate(grpc::CallbackServerContext* context,
                                                  const v1::GenerateRequest* request,
                                                  v1::GenerateResponse* response) {
  return start_generate({*context, *request, service_, options_, false}, *response);
}

grpc::ServerWriteReactor<v1::GenerateStreamResponse>* GenerationRpc::GenerateStream(
    grpc::CallbackServerContext* context, const v1::GenerateRequest* request) {
  return start_generate_stream({*context, *request, service_, options_, true});
}

grpc::ServerUnaryReactor* GenerationRpc::Tokenize(grpc::CallbackServerContext* context,
                                                  const v1::TokenizeRequest* request,
                                                  v1::TokenizeResponse* response) {
  return answer(*context, options_, [&] { return tokenize(*request, *response); });
}

grpc::ServerUnaryReactor* GenerationRpc::Detokenize(grpc::CallbackServerContext* context,
                                                    const v1::DetokenizeRequest* request,
                                                    v1::DetokenizeResponse* response) {
  return answer(*context, options_, [&] { return detokenize(*request, *response); });
}

grpc::ServerUnaryReactor* GenerationRpc::GetServerInfo(grpc::CallbackServerContext* context,
                                                       const v1::GetServerInfoRequest*,
                                                       v1::GetServerInfoResponse* response) {
  return answer(*context, options_, [&]() -> Status {
    response->set_version(DEJAVU_VERSION);
    response->set_state(state_name(service_.state()));
    response->set_system_fingerprint(service_.system_fingerprint());
    response->set_sampling_defaults(service_.describe_defaults());
    for (const ModelCard& card : service_.models()) {
      v1::ModelCard& out = *response->add_models();
      out.set_id(card.id);
      out.set_root(card.root);
      out.set_created(card.created);
      out.set_max_model_len(card.max_model_len);
    }
    return {};
  });
}

grpc::ServerUnaryReactor* GenerationRpc::GetSparsity(grpc::CallbackServerContext* context,
                                                     const v1::GetSparsityRequest*,
                                                     v1::GetSparsityResponse* response) {
  return answer(*context, options_, [&]() -> Status {
    const auto status = service_.sparsity_status();
    if (!status) return tl::unexpected(status.error());
    fill_sparsity(*status, *response);
    return {};
  });
}

Status GenerationRpc::tokenize(const v1::TokenizeRequest& request, v1::TokenizeResponse& response) {
  const auto native = to_native(request);
  if (!native) return tl::unexpected(native.error());
  const auto ids = service_.tokenize(*native);
  if (!ids) return tl::unexpected(ids.error());
  response.mutable_tokens()->Assign(ids->begin(), ids->end());
  response.set_count(static_cast<int>(ids->size()));
  response.set_max_model_len(service_.max_model_len());
  if (request.return_token_strs()) {
    for (const std::int32_t id : *ids) response.add_token_strs(service_.token_text(id));
  }
  return {};
}

Status GenerationRpc::detokenize(const v1::DetokenizeRequest& request,
                                 v1::DetokenizeResponse& response) {
  const std::vector<std::int32_t> ids(request.tokens().begin(), request.tokens().end());
  auto text = service_.detokenize(request.model(), ids);
  if (!text) return tl::unexpected(text.error());
  response.set_prompt(std::move(*text));
  return {};
}

}  // namespace dejavu
