#include "server/http/http_server.h"

#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

#include "server/http/error_body.h"
#include "server/http/session.h"

namespace dejavu {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using namespace std::chrono_literals;

constexpr std::size_t kMaxConnections = 4096;
constexpr auto kAcceptRetry = 100ms;
constexpr auto kStopGrace = 2s;

// Lets the process open as many files as the connections need, as far as its hard limit goes.
void raise_file_limit() {
  constexpr rlim_t kOtherFiles = 1024;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted = std::min<rlim_t>(kMaxConnections + kOtherFiles, limit.rlim_max);
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = wanted;
  setrlimit(RLIMIT_NOFILE, &limit);
}

class BeastServer final : public HttpServer {
 public:
  BeastServer(const HttpOptions& options, GenerationService& service, Metrics& metrics)
      : context_(options, service, metrics), acceptor_(asio::make_strand(io_)) {}
  ~BeastServer() override { stop(); }
  BeastServer(const BeastServer&) = delete;
  BeastServer& operator=(const BeastServer&) = delete;

  Status listen();
  void serve();

  int port() const override { return port_; }
  void drain() override { context_.draining = true; }
  void stop() override;

 private:
  asio::awaitable<void> accept_all();
  asio::awaitable<void> serve_connection(std::shared_ptr<Connection> connection);
  asio::awaitable<void> turn_away(std::shared_ptr<Connection> connection);
  std::size_t connection_count();
  bool wait_until_idle();

  SessionContext context_;
  asio::io_context io_;
  tcp::acceptor acceptor_;
  int port_ = 0;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable idle_;
  std::unordered_set<std::shared_ptr<Connection>> connections_;
};

Status BeastServer::listen() {
  const HttpOptions& options = context_.options;
  const std::string where = options.host + ":" + std::to_string(options.port);
  const auto failed = [&](const std::string& why) {
    return fail(
        ErrorCode::kUnavailable,
        "HTTP cannot listen on " + where + ": " + why + ". Choose another --host or --port.",
        "port");
  };
  boost::system::error_code error;
  tcp::resolver resolver(io_);
  const auto endpoints =
      resolver.resolve(options.host, std::to_string(options.port),
                       tcp::resolver::passive | tcp::resolver::numeric_service, error);
  if (error || endpoints.empty()) return failed(error.message());
  const tcp::endpoint endpoint = *endpoints.begin();
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(tcp::acceptor::max_listen_connections, error);
  if (error) return failed(error.message());
  port_ = acceptor_.local_endpoint().port();
  raise_file_limit();
  return {};
}

void BeastServer::serve() {
  asio::co_spawn(acceptor_.get_executor(), accept_all(), asio::detached);
  for (int i = 0; i < std::max(1, context_.options.threads); ++i)
    threads_.emplace_back([this] { io_.run(); });
}

asio::awaitable<void> BeastServer::accept_all() {
  while (acceptor_.is_open()) {
    auto [error, socket] = co_await acceptor_.async_accept(asio::make_strand(io_),
                                                           asio::as_tuple(asio::use_awaitable));
    if (error == asio::error::operation_aborted || !acceptor_.is_open()) co_return;
    if (error) {
      // Out of file descriptors, most likely: the pending connection stays in the queue.
      asio::steady_timer pause(io_, kAcceptRetry);
      co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
      continue;
    }
    const auto strand = socket.get_executor();
    auto connection = std::make_shared<Connection>(std::move(socket));
    const bool full = connection_count() >= kMaxConnections;
    asio::co_spawn(
        strand, full ? turn_away(std::move(connection)) : serve_connection(std::move(connection)),
        asio::detached);
  }
}

asio::awaitable<void> BeastServer::serve_connection(std::shared_ptr<Connection> connection) {
  {
    const std::lock_guard lock(mutex_);
    connections_.insert(connection);
  }
  Session session(context_, connection);
  co_await session.run();
  const std::lock_guard lock(mutex_);
  connections_.erase(connection);
  if (connections_.empty()) idle_.notify_all();
}

asio::awaitable<void> BeastServer::turn_away(std::shared_ptr<Connection> connection) {
  const HttpResponse response = error_response(Error{
      ErrorCode::kUnavailable, "The server has too many connections open.", {}, "overloaded"});
  WireOptions wire;
  wire.keep_alive = false;
  co_await connection->write(response_text(response, wire));
  connection->close();
}

std::size_t BeastServer::connection_count() {
  const std::lock_guard lock(mutex_);
  return connections_.size();
}

bool BeastServer::wait_until_idle() {
  std::unique_lock lock(mutex_);
  return idle_.wait_for(lock, kStopGrace, [this] { return connections_.empty(); });
}

void BeastServer::stop() {
  if (context_.stopping.exchange(true)) return;
  asio::post(acceptor_.get_executor(), [this] {
    boost::system::error_code ignored;
    acceptor_.close(ignored);
  });
  {
    // Idle connections close; calls are cancelled and their replies still written.
    const std::lock_guard lock(mutex_);
    for (const auto& connection : connections_) connection->post_stop();
  }
  if (!threads_.empty()) wait_until_idle();
  io_.stop();
  for (std::thread& thread : threads_) thread.join();
  context_.heavy.join();
}

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::start(const HttpOptions& options,
                                                      GenerationService& service,
                                                      Metrics& metrics) {
  auto server = std::make_unique<BeastServer>(options, service, metrics);
  if (auto listening = server->listen(); !listening) return tl::unexpected(listening.error());
  server->serve();
  return server;
}

}  // namespace dejavu
