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
#include <cctype>
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
  std::string host, port, target;  // an IPv6 host without its brackets

  // As the Host header states it. Signed addresses cover it: no port where it is the scheme's own.
  std::string authority() const {
    const std::string name = host.find(':') == std::string::npos ? host : "[" + host + "]";
    return port == default_port(tls) ? name : name + ":" + port;
  }
  static std::string default_port(bool tls) { return tls ? "443" : "80"; }
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
  const bool bracketed = authority.starts_with('[');
  const std::size_t host_end = bracketed ? authority.find(']') : authority.find(':');
  address.host = bracketed && host_end != std::string::npos ? authority.substr(1, host_end - 1)
                                                            : authority.substr(0, host_end);
  const std::size_t colon = authority.find(':', bracketed ? host_end : 0);
  address.port =
      colon == std::string::npos ? Address::default_port(address.tls) : authority.substr(colon + 1);
  if (address.host.empty() || address.host.front() == '[')
    return invalid("'" + url + "' names no host");
  return address;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

struct Exchange {
  Address address;
  const HttpGet& get;
  const BodySink& sink;  // empty: HEAD
  bool with_token;

  http::request<http::empty_body> request() const {
    http::request<http::empty_body> request(sink ? http::verb::get : http::verb::head,
                                            address.target, 11);
    request.set(http::field::host, address.authority());
    request.set(http::field::user_agent, "dejavu");
    request.set(http::field::accept_encoding, "identity");
    request.set(http::field::connection, "close");
    if (with_token && !get.bearer.empty())
      request.set(http::field::authorization, "Bearer " + get.bearer);
    if (get.from > 0 || get.to > 0) {
      const std::string last = get.to > 0 ? std::to_string(get.to - 1) : "";
      request.set(http::field::range, "bytes=" + std::to_string(get.from) + "-" + last);
    }
    return request;
  }

  // `lowest`: the TCP stream below, which has the clock.
  template <class Stream>
  asio::awaitable<HttpHead> run(Stream& stream, beast::tcp_stream& lowest) const {
    const auto wanted = request();
    lowest.expires_after(kStall);
    co_await http::async_write(stream, wanted, asio::use_awaitable);
    beast::flat_buffer buffer;
    http::response_parser<http::buffer_body> parser;
    parser.body_limit(boost::none);
    parser.skip(!sink);
    co_await http::async_read_header(stream, buffer, parser, asio::use_awaitable);
    HttpHead answer{static_cast<int>(parser.get().result_int()), {}};
    for (const auto& field : parser.get())
      answer.fields[lower(field.name_string())] = std::string(field.value());
    if (!sink || answer.status / 100 != 2) co_return answer;
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

  asio::awaitable<HttpHead> over_tcp() const {
    beast::tcp_stream stream(co_await asio::this_coro::executor);
    co_await connect(stream);
    co_return co_await run(stream, stream);
  }

  asio::awaitable<HttpHead> over_tls() const {
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

Result<HttpHead> run_exchange(const Exchange& exchange) {
  asio::io_context io;
  HttpHead answer;
  std::string failure;
  asio::co_spawn(io, exchange.address.tls ? exchange.over_tls() : exchange.over_tcp(),
                 [&](const std::exception_ptr& error, HttpHead result) {
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

Result<Address> redirected(const Address& from, const std::string& location) {
  const bool relative = location.starts_with('/');
  auto next = relative ? Result<Address>(from) : parse_address(location);
  if (!next) return next;
  if (relative) next->target = location;
  if (from.tls && !next->tls)
    return invalid(from.host + " redirects from HTTPS to HTTP; that is not followed");
  return next;
}

// Along redirects, until an answer is none or suffices.
Result<HttpHead> follow(const HttpGet& get, const BodySink& sink,
                        const std::function<bool(const HttpHead&)>& suffices) {
  auto address = parse_address(get.url);
  if (!address) return tl::unexpected(address.error());
  const Address first = *address;
  for (int hop = 0; hop <= kMaxRedirects; ++hop) {
    const bool home = address->host == first.host && address->port == first.port;
    auto answer = run_exchange({*address, get, sink, home});
    if (!answer || answer->status / 100 != 3 || suffices(*answer)) return answer;
    const auto location = answer->fields.find("location");
    if (location == answer->fields.end()) return answer;
    address = redirected(*address, location->second);
    if (!address) return tl::unexpected(address.error());
  }
  return fail(ErrorCode::kUnavailable, first.host + " redirects without end");
}

}  // namespace

Result<int> http_get(const HttpGet& get, const BodySink& sink) {
  return follow(get, sink, [](const HttpHead&) { return false; }).map([](const HttpHead& answer) {
    return answer.status;
  });
}

Result<HttpHead> http_head(const HttpGet& get,
                           const std::function<bool(const HttpHead&)>& suffices) {
  return follow(get, {}, suffices);
}

}  // namespace dejavu
