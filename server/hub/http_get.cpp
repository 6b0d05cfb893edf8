#include "server/hub/http_get.h"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <chrono>
#include <vector>

namespace dejavu {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;

constexpr int kMaxRedirects = 8;
constexpr std::size_t kPieceBytes = 256 << 10;
constexpr auto kStall = std::chrono::seconds(30);

struct Address {
  bool tls = false;
  std::string host, port, target;
};

Result<Address> parse_address(const std::string& url) {
  const std::size_t scheme = url.find("://");
  Address address;
  address.tls = url.starts_with("https://");
  if (!address.tls && !url.starts_with("http://"))
    return invalid("'" + url + "' is no http:// or https:// address");
  const std::size_t path = url.find('/', scheme + 3);
  const std::string authority = url.substr(scheme + 3, path - scheme - 3);
  address.target = path == std::string::npos ? "/" : url.substr(path);
  const std::size_t colon = authority.rfind(':');
  address.host = authority.substr(0, colon);
  address.port =
      colon == std::string::npos ? (address.tls ? "443" : "80") : authority.substr(colon + 1);
  if (address.host.empty()) return invalid("'" + url + "' names no host");
  return address;
}

// Of one exchange.
struct Answer {
  int status = 0;
  std::string location;
};

struct Exchange {
  Address address;
  const HttpGet& get;
  const BodySink& sink;
  bool with_token;

  http::request<http::empty_body> request() const {
    http::request<http::empty_body> request(http::verb::get, address.target, 11);
    request.set(http::field::host, address.host + ":" + address.port);
    request.set(http::field::user_agent, "dejavu");
    request.set(http::field::connection, "close");
    if (with_token && !get.bearer.empty())
      request.set(http::field::authorization, "Bearer " + get.bearer);
    if (get.from > 0) request.set(http::field::range, "bytes=" + std::to_string(get.from) + "-");
    return request;
  }

  // `lowest`: the TCP stream below, which has the clock.
  template <class Stream>
  asio::awaitable<Answer> run(Stream& stream, beast::tcp_stream& lowest) const {
    const auto wanted = request();
    lowest.expires_after(kStall);
    co_await http::async_write(stream, wanted, asio::use_awaitable);
    beast::flat_buffer buffer;
    http::response_parser<http::buffer_body> parser;
    parser.body_limit(boost::none);
    co_await http::async_read_header(stream, buffer, parser, asio::use_awaitable);
    Answer answer{static_cast<int>(parser.get().result_int()),
                  std::string(parser.get()[http::field::location])};
    if (answer.status / 100 != 2) co_return answer;
    const bool resumed = answer.status == 206;
    std::vector<char> piece(kPieceBytes);
    while (!parser.is_done()) {
      parser.get().body() = {piece.data(), piece.size(), true};
      lowest.expires_after(kStall);
      beast::error_code error;
      co_await http::async_read(stream, buffer, parser,
                                asio::redirect_error(asio::use_awaitable, error));
      // What came before the connection broke counts: the next try begins after it.
      const std::size_t got = piece.size() - parser.get().body().size;
      if (got > 0 && !sink({piece.data(), got}, resumed)) break;
      if (error && error != http::error::need_buffer) throw beast::system_error(error);
    }
    co_return answer;
  }

  asio::awaitable<Answer> over_tcp() const {
    beast::tcp_stream stream(co_await asio::this_coro::executor);
    co_await connect(stream);
    co_return co_await run(stream, stream);
  }

  asio::awaitable<Answer> over_tls() const {
    asio::ssl::context context(asio::ssl::context::tls_client);
    context.set_default_verify_paths();
    context.set_verify_mode(asio::ssl::verify_peer);
    beast::ssl_stream<beast::tcp_stream> stream(co_await asio::this_coro::executor, context);
    stream.set_verify_callback(asio::ssl::host_name_verification(address.host));
    SSL_set_tlsext_host_name(stream.native_handle(), address.host.c_str());
    beast::tcp_stream& lowest = beast::get_lowest_layer(stream);
    co_await connect(lowest);
    co_await stream.async_handshake(asio::ssl::stream_base::client, asio::use_awaitable);
    co_return co_await run(stream, lowest);
  }

  asio::awaitable<void> connect(beast::tcp_stream& stream) const {
    tcp::resolver resolver(co_await asio::this_coro::executor);
    const auto endpoints =
        co_await resolver.async_resolve(address.host, address.port, asio::use_awaitable);
    stream.expires_after(kStall);
    co_await stream.async_connect(endpoints, asio::use_awaitable);
  }
};

Result<Answer> run_exchange(const Exchange& exchange) {
  asio::io_context io;
  Answer answer;
  std::string failure;
  asio::co_spawn(io, exchange.address.tls ? exchange.over_tls() : exchange.over_tcp(),
                 [&](const std::exception_ptr& error, Answer result) {
                   answer = std::move(result);
                   if (!error) return;
                   try {
                     std::rethrow_exception(error);
                   } catch (const std::exception& thrown) {
                     failure = thrown.what();
                   }
                 });
  io.run();
  if (failure.empty()) return answer;
  return fail(ErrorCode::kUnavailable, exchange.address.host + ": " + failure);
}

}  // namespace

Result<int> http_get(const HttpGet& get, const BodySink& sink) {
  auto address = parse_address(get.url);
  if (!address) return tl::unexpected(address.error());
  const Address first = *address;
  for (int hop = 0; hop <= kMaxRedirects; ++hop) {
    const bool home = address->host == first.host && address->port == first.port;
    const auto answer = run_exchange({*address, get, sink, home});
    if (!answer) return tl::unexpected(answer.error());
    if (answer->status / 100 != 3 || answer->location.empty()) return answer->status;
    const bool relative = answer->location.starts_with('/');
    auto next = relative ? Result<Address>(*address) : parse_address(answer->location);
    if (!next) return tl::unexpected(next.error());
    if (relative) next->target = answer->location;
    if (address->tls && !next->tls)
      return invalid(address->host + " redirects from HTTPS to HTTP; that is not followed");
    address = *std::move(next);
  }
  return fail(ErrorCode::kUnavailable, first.host + " redirects without end");
}

}  // namespace dejavu
