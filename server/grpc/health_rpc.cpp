#include "server/grpc/health_rpc.h"

#include <optional>
#include <utility>

#include "dejavu/v1/generation.grpc.pb.h"

namespace dejavu {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

namespace {

bool known(const std::string& service) {
  return service.empty() || service == v1::Generation::service_full_name();
}

}  // namespace

// Sends the newest status when the last message is out: a slow reader skips what came between.
// Everything but the reactions is called under the service's lock.
class HealthRpc::Watcher final : public grpc::ServerWriteReactor<HealthCheckResponse> {
 public:
  Watcher(HealthRpc& rpc, std::string service) : rpc_(rpc), service_(std::move(service)) {}

  void update() {
    const auto status = rpc_.status_of(service_);
    if (writing_ || finished_ || sent_ == status) return;
    sent_ = status;
    message_.set_status(status);
    writing_ = true;
    StartWrite(&message_);
  }
  void finish(const grpc::Status& status) {
    if (!std::exchange(finished_, true)) Finish(status);
  }

  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(rpc_.mutex_);
    writing_ = false;
    if (ok) return update();
    finish(grpc::Status::CANCELLED);
  }
  void OnCancel() override {
    const std::lock_guard lock(rpc_.mutex_);
    finish(grpc::Status::CANCELLED);
  }
  void OnDone() override {
    {
      const std::lock_guard lock(rpc_.mutex_);
      rpc_.watchers_.erase(this);
    }
    delete this;
  }

 private:
  HealthRpc& rpc_;
  const std::string service_;
  HealthCheckResponse message_;
  std::optional<HealthCheckResponse::ServingStatus> sent_;
  bool writing_ = false;
  bool finished_ = false;
};

HealthRpc::HealthRpc() = default;
HealthRpc::~HealthRpc() = default;

void HealthRpc::set_serving(bool serving) {
  const std::lock_guard lock(mutex_);
  serving_ = serving;
  for (Watcher* watcher : watchers_) watcher->update();
}

void HealthRpc::end_watches() {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  for (Watcher* watcher : watchers_) {
    watcher->finish({grpc::StatusCode::UNAVAILABLE, "the server is shutting down"});
  }
}

grpc::ServerUnaryReactor* HealthRpc::Check(grpc::CallbackServerContext* context,
                                           const HealthCheckRequest* request,
                                           HealthCheckResponse* response) {
  grpc::Status status;
  if (known(request->service())) {
    const std::lock_guard lock(mutex_);
    response->set_status(status_of(request->service()));
  } else {
    status = {grpc::StatusCode::NOT_FOUND, "no service named " + request->service()};
  }
  auto* reactor = context->DefaultReactor();
  reactor->Finish(status);
  return reactor;
}

grpc::ServerWriteReactor<HealthCheckResponse>* HealthRpc::Watch(
    grpc::CallbackServerContext* /*context*/, const HealthCheckRequest* request) {
  auto watcher = std::make_unique<Watcher>(*this, request->service());
  const std::lock_guard lock(mutex_);
  watchers_.insert(watcher.get());
  watcher->update();
  if (ended_) watcher->finish({grpc::StatusCode::UNAVAILABLE, "the server is shutting down"});
  return watcher.release();  // OnDone deletes it
}

HealthCheckResponse::ServingStatus HealthRpc::status_of(const std::string& service) const {
  if (!known(service)) return HealthCheckResponse::SERVICE_UNKNOWN;
  return serving_ ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
}

}  // namespace dejavu
