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
  // Binds at once; the error names host and port. Serves until stop(). `service` and `metrics`
  // must outlive the server.
  static Result<std::unique_ptr<HttpServer>> start(const HttpOptions& options,
                                                   GenerationService& service, Metrics& metrics);
  virtual ~HttpServer() = default;

  virtual int port() const = 0;  // the one bound, when options said 0
  // Requests in flight go on and new ones are still answered (the service refuses generation,
  // /ready says draining), but every response closes its connection.
  virtual void drain() = 0;
  // Cancels the calls that still run, lets replies be written for a moment, closes everything and
  // joins the threads. Idempotent.
  virtual void stop() = 0;
};

}  // namespace dejavu
