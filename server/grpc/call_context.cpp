#include "server/grpc/call_context.h"

#include <algorithm>
#include <chrono>

#include "server/request_identity.h"

namespace dejavu {

namespace {

constexpr const char* kRetryPushbackMs = "1000";

grpc::StatusCode status_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return grpc::StatusCode::INVALID_ARGUMENT;
    case ErrorCode::kUnauthenticated:
      return grpc::StatusCode::UNAUTHENTICATED;
    case ErrorCode::kNotFound:
      return grpc::StatusCode::NOT_FOUND;
    case ErrorCode::kResourceExhausted:
      return grpc::StatusCode::RESOURCE_EXHAUSTED;
    case ErrorCode::kCancelled:
      return grpc::StatusCode::CANCELLED;
    case ErrorCode::kInternal:
      return grpc::StatusCode::INTERNAL;
    case ErrorCode::kUnavailable:
      return grpc::StatusCode::UNAVAILABLE;
    case ErrorCode::kDeadlineExceeded:
      return grpc::StatusCode::DEADLINE_EXCEEDED;
  }
  return grpc::StatusCode::UNKNOWN;
}

}  // namespace

std::string_view metadata_value(const grpc::CallbackServerContext& context, const char* key) {
  const auto& metadata = context.client_metadata();
  const auto it = metadata.find(key);
  if (it == metadata.end()) return {};
  return {it->second.data(), it->second.size()};
}

Status check_api_key(const grpc::CallbackServerContext& context, const GrpcOptions& options) {
  if (options.api_keys.empty() ||
      bearer_token_matches(metadata_value(context, "authorization"), options.api_keys)) {
    return {};
  }
  return fail(ErrorCode::kUnauthenticated,
              "an API key is required: send it as metadata, authorization: Bearer KEY", "",
              "invalid_api_key");
}

std::optional<std::int64_t> client_timeout_ms(const grpc::CallbackServerContext& context) {
  const auto deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return std::nullopt;
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      deadline - std::chrono::system_clock::now());
  return std::max<std::int64_t>(1, left.count());
}

grpc::Status to_grpc_status(grpc::CallbackServerContext& context, const Error& error) {
  if (!error.reason.empty()) context.AddTrailingMetadata("error-code", error.reason);
  if (!error.param.empty()) context.AddTrailingMetadata("error-param", error.param);
  if (error.code == ErrorCode::kResourceExhausted) {
    context.AddTrailingMetadata("grpc-retry-pushback-ms", kRetryPushbackMs);
  }
  return {status_code(error.code), error.message};
}

}  // namespace dejavu
