#include "server/grpc/grpc_server.h"

#include <grpc/support/log.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <string>
#include <utility>

#include "server/grpc/generation_rpc.h"
#include "server/grpc/health_rpc.h"

namespace dejavu {

namespace {

constexpr int kMinClientPingMs = 9'000;  // clients that ping every 10 s, with some jitter
constexpr int kServerPingMs = 60'000;    // finds dead peers, so that their sequences end
constexpr int kServerPingTimeoutMs = 20'000;
constexpr int kConnectionGraceMs = 600'000;  // for calls on a connection past its age
constexpr std::chrono::seconds kStopGrace{2};

int to_int(double value) {
  return static_cast<int>(std::min<double>(value, std::numeric_limits<int>::max()));
}

std::string address_of(const GrpcOptions& options) {
  const bool ipv6 = options.host.find(':') != std::string::npos && options.host.front() != '[';
  return (ipv6 ? "[" + options.host + "]" : options.host) + ":" + std::to_string(options.port);
}

// gRPC's own log lines go where ours go, in the same format.
void forward_log(gpr_log_func_args* args) {
  if (args->severity == GPR_LOG_SEVERITY_ERROR) {
    spdlog::warn("grpc: {}", args->message);
  } else {
    spdlog::debug("grpc: {}", args->message);
  }
}

void configure(grpc::ServerBuilder& builder, const GrpcOptions& options) {
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kMinClientPingMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kServerPingMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kServerPingTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS,
                             to_int(options.max_connection_age_seconds * 1e3));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, kConnectionGraceMs);
  builder.SetMaxReceiveMessageSize(to_int(static_cast<double>(options.max_message_bytes)));
  builder.SetMaxSendMessageSize(-1);
}

class GrpcServerImpl final : public GrpcServer {
 public:
  GrpcServerImpl(const GrpcOptions& options, GenerationService& service)
      : service_(service), rpc_(options, service) {}
  ~GrpcServerImpl() override { stop(); }
  GrpcServerImpl(const GrpcServerImpl&) = delete;
  GrpcServerImpl& operator=(const GrpcServerImpl&) = delete;

  Status listen(const GrpcOptions& options) {
    gpr_set_log_function(forward_log);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    configure(builder, options);
    const std::string address = address_of(options);
    builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&rpc_);
    builder.RegisterService(&health_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port_ == 0) {
      return fail(ErrorCode::kUnavailable,
                  "cannot listen on " + address +
                      " for gRPC: is the port in use? Choose another with --grpc-port",
                  "grpc-port");
    }
    update_health();
    return {};
  }

  int port() const override { return port_; }

  void update_health() override { health_.set_serving(service_.state() == ServiceState::kReady); }

  void stop() override {
    if (server_ == nullptr) return;
    health_.end_watches();
    server_->Shutdown(std::chrono::system_clock::now() + kStopGrace);
    server_->Wait();
    server_ = nullptr;
  }

 private:
  GenerationService& service_;
  GenerationRpc rpc_;
  HealthRpc health_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

}  // namespace

Result<std::unique_ptr<GrpcServer>> GrpcServer::start(const GrpcOptions& options,
                                                      GenerationService& service) {
  auto server = std::make_unique<GrpcServerImpl>(options, service);
  if (auto status = server->listen(options); !status) return tl::unexpected(status.error());
  return server;
}

}  // namespace dejavu
