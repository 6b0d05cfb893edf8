// The HTTP front: OpenAI-style REST, SSE, health, readiness and metrics, on Boost.Beast coroutines.
#pragma once

#include <memory>

#include "engine/core/result.h"
#include "server/admin/metrics.h"
#include "server/generation_service.h"
#include "server/http/options.h"

namespace dejavu {

class HttpServer {
 public:
  // Binds at once; the error names host and port. Serves until stop().
  static Result<std::unique_ptr<HttpServer>> start(const HttpOptions& options,
                                                   GenerationService& service, Metrics& metrics);
  virtual ~HttpServer() = default;

  virtual int port() const = 0;  // the one bound, when options said 0
  // Stops accepting; requests in flight go on.
  virtual void drain() = 0;
  // Closes everything and joins the threads. Idempotent.
  virtual void stop() = 0;
};

}  // namespace dejavu
