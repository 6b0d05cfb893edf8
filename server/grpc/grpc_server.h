// The gRPC front: dejavu.v1.Generation, grpc.health.v1 and reflection, on the callback API.
#pragma once

#include <memory>

#include "engine/core/result.h"
#include "server/generation_service.h"
#include "server/grpc/options.h"

namespace dejavu {

class GrpcServer {
 public:
  // Binds at once, without SO_REUSEPORT: a port in use is an error that names it.
  static Result<std::unique_ptr<GrpcServer>> start(const GrpcOptions& options,
                                                   GenerationService& service);
  virtual ~GrpcServer() = default;

  virtual int port() const = 0;
  // Mirrors the service's state into the health service: SERVING only when ready, NOT_SERVING from
  // the first moment until then, and again while draining.
  virtual void update_health() = 0;
  virtual void stop() = 0;
};

}  // namespace dejavu
