#include "server/grpc/health_probe.h"

#include <grpcpp/grpcpp.h>

#include <chrono>

#include "grpc/health/v1/health.grpc.pb.h"

namespace dejavu {

using grpc::health::v1::HealthCheckResponse;

Result<bool> grpc_serving(const std::string& address, double timeout_seconds) {
  const auto stub = grpc::health::v1::Health::NewStub(
      grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::milliseconds(static_cast<std::int64_t>(timeout_seconds * 1e3)));
  HealthCheckResponse response;
  const grpc::Status status = stub->Check(&context, {}, &response);
  if (!status.ok()) return fail(ErrorCode::kUnavailable, status.error_message());
  return response.status() == HealthCheckResponse::SERVING;
}

}  // namespace dejavu
