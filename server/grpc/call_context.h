// What a call's metadata says and what goes back with its end, the same for every method.
#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/core/result.h"
#include "server/grpc/options.h"

namespace dejavu {

// The value of a metadata key in lower case; "" when absent.
std::string_view metadata_value(const grpc::CallbackServerContext& context, const char* key);

// UNAUTHENTICATED when the server has keys and the call carries none of them.
Status check_api_key(const grpc::CallbackServerContext& context, const GrpcOptions& options);

// Milliseconds left until the client's deadline, at least 1; absent when it set none.
std::optional<std::int64_t> client_timeout_ms(const grpc::CallbackServerContext& context);

// The error as a gRPC status; trailers carry its reason, its field and, when the queue is full, how
// long to wait before a retry.
grpc::Status to_grpc_status(grpc::CallbackServerContext& context, const Error& error);

}  // namespace dejavu
