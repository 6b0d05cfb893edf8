// The error value every fallible call returns. Codes map 1:1 to an HTTP and a gRPC status
// (docs/architecture.md, "Errors").
#pragma once

#include <string>

namespace dejavu {

enum class ErrorCode {
  kInvalidArgument,    // 400 INVALID_ARGUMENT
  kUnauthenticated,    // 401 UNAUTHENTICATED
  kNotFound,           // 404 NOT_FOUND
  kResourceExhausted,  // 429 RESOURCE_EXHAUSTED (queue full; the client may retry)
  kCancelled,          // 499 CANCELLED (client gone)
  kInternal,           // 500 INTERNAL
  kUnavailable,        // 503 UNAVAILABLE (loading, draining)
  kDeadlineExceeded,   // 504 DEADLINE_EXCEEDED
};

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;  // says what is wrong and what the user can do about it
  std::string param;    // the request field or option at fault; may be empty
  std::string reason;  // stable machine-readable code, e.g. "context_length_exceeded"; may be empty
};

}  // namespace dejavu
