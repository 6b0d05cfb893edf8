// grpc.health.v1 from the client's side.
#pragma once

#include <string>

#include "engine/core/result.h"

namespace dejavu {

// Whether the server at `address` (HOST:PORT) is SERVING. An error: it gave no answer in time.
Result<bool> grpc_serving(const std::string& address, double timeout_seconds);

}  // namespace dejavu
