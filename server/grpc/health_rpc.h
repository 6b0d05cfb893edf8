// grpc.health.v1 of this server and of dejavu.v1.Generation, which are one. gRPC's own service says
// SERVING from the moment it listens, long before a model is loaded; this one says NOT_SERVING.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>

#include "grpc/health/v1/health.grpc.pb.h"

namespace dejavu {

// Any thread.
class HealthRpc final : public grpc::health::v1::Health::CallbackService {
 public:
  HealthRpc();
  ~HealthRpc() override;
  HealthRpc(const HealthRpc&) = delete;
  HealthRpc& operator=(const HealthRpc&) = delete;

  void set_serving(bool serving);
  // Ends every watch, so that none holds up the end of the server.
  void end_watches();

  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context,
                                  const grpc::health::v1::HealthCheckRequest* request,
                                  grpc::health::v1::HealthCheckResponse* response) override;
  grpc::ServerWriteReactor<grpc::health::v1::HealthCheckResponse>* Watch(
      grpc::CallbackServerContext* context,
      const grpc::health::v1::HealthCheckRequest* request) override;

 private:
  class Watcher;
  grpc::health::v1::HealthCheckResponse::ServingStatus status_of(const std::string& service) const;

  mutable std::mutex mutex_;
  bool serving_ = false;
  bool ended_ = false;
  std::unordered_set<Watcher*> watchers_;  // each deletes itself when its call is done
};

}  // namespace dejavu
