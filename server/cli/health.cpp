// `dejavu health`: one question to a running daemon; exit 0 when it is ready to serve.
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <cstdio>

#include "server/cli/commands.h"
#include "server/grpc/health_probe.h"
#include "server/load/url.h"

namespace dejavu {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

// GET /ready; the steps are asynchronous because only those of Beast know timeouts.
class HttpProbe {
 public:
  HttpProbe(const Url& url, double timeout_seconds) : stream_(io_), resolver_(io_) {
    stream_.expires_after(
        std::chrono::milliseconds(static_cast<std::int64_t>(timeout_seconds * 1000)));
    request_.method(http::verb::get);
    request_.target(url.base_path + "/ready");
    request_.version(11);
    request_.set(http::field::host, url.authority());
    request_.set(http::field::connection, "close");
    resolver_.async_resolve(url.host, url.port, [this](auto error, auto endpoints) {
      if (!failed(error)) stream_.async_connect(endpoints, [this](auto e, auto&&) { send(e); });
    });
  }

  Result<bool> run() {
    io_.run();
    if (error_) return fail(ErrorCode::kUnavailable, error_.message());
    return response_.result() == http::status::ok;
  }

 private:
  bool failed(beast::error_code error) {
    error_ = error;
    return static_cast<bool>(error);
  }
  void send(beast::error_code error) {
    if (failed(error)) return;
    http::async_write(stream_, request_, [this](auto e, std::size_t) { receive(e); });
  }
  void receive(beast::error_code error) {
    if (failed(error)) return;
    http::async_read(stream_, buffer_, response_, [this](auto e, std::size_t) { failed(e); });
  }

  asio::io_context io_;
  beast::tcp_stream stream_;
  asio::ip::tcp::resolver resolver_;
  http::request<http::empty_body> request_;
  http::response<http::string_body> response_;
  beast::flat_buffer buffer_;
  beast::error_code error_;
};

}  // namespace

Result<int> run_health(const CommandLine& line) {
  const std::string& address = line.config.client.url;
  const auto url = parse_url(address);
  if (!url) return tl::unexpected(url.error());
  const double timeout = line.config.health.timeout_seconds;
  const auto ready =
      url->grpc ? grpc_serving(url->authority(), timeout) : HttpProbe(*url, timeout).run();
  if (!ready) {
    std::printf("%s: no answer: %s\n", address.c_str(), ready.error().message.c_str());
    return 1;
  }
  std::printf("%s: %s\n", address.c_str(), *ready ? "ready" : "not ready");
  return *ready ? 0 : 1;
}

}  // namespace dejavu
