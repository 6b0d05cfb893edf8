#include "server/grpc/health_probe.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <future>

namespace dejavu {

Result<bool> grpc_serving(const std::string& address, double timeout_seconds) {
  grpc::GenericStub stub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::milliseconds(static_cast<std::int64_t>(timeout_seconds * 1e3)));
  // The messages are two bytes at most: HealthCheckRequest for the whole server is empty, and
  // HealthCheckResponse is field 1, a number, where SERVING is 1.
  const grpc::ByteBuffer request(nullptr, 0);
  grpc::ByteBuffer response;
  std::promise<grpc::Status> ended;
  stub.UnaryCall(&context, "/grpc.health.v1.Health/Check", {}, &request, &response,
                 [&ended](const grpc::Status& status) { ended.set_value(status); });
  const grpc::Status status = ended.get_future().get();
  if (!status.ok()) return fail(ErrorCode::kUnavailable, status.error_message());
  grpc::Slice bytes;
  if (!response.DumpToSingleSlice(&bytes).ok()) return false;
  return std::string_view(reinterpret_cast<const char*>(bytes.begin()), bytes.size()) == "\x08\x01";
}

}  // namespace dejavu
