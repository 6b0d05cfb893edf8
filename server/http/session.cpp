#include "server/http/session.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http/error.hpp>
#include <chrono>
#include <exception>
#include <utility>

#include "server/error_status.h"
#include "server/http/call_relay.h"
#include "server/http/error_body.h"
#include "server/http/json_body.h"
#include "server/http/live_relay.h"
#include "server/request_identity.h"

namespace dejavu {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using namespace std::chrono_literals;

constexpr auto kHeadTime = 30s;
constexpr auto kBodyTime = 120s;
// Larger bodies are parsed aside, so that they hold up nobody else's tokens.
constexpr std::size_t kSmallBody = 64 << 10;

struct ParsedBody {
  std::string model;  // as the body names it, also when it is refused
  Result<GenerateBody> body;
};

ParsedBody parse_generate(const Route& route, const HttpRequest& request) {
  const auto json = parse_json_object(request.body);
  if (!json) return {{}, tl::unexpected(json.error())};
  ParsedBody parsed;
  if (const auto model = json->find("model"); model != json->end() && model->is_string())
    parsed.model = *model;
  parsed.body = route.endpoint == Endpoint::kChat ? parse_chat(*json) : parse_completion(*json);
  if (!parsed.body) return parsed;
  parsed.body->request.request_id = request.request_id;
  parsed.body->request.trace_id = request.trace_id;
  return parsed;
}

template <class T>
Connection::Task<T> call(std::function<T()> work) {
  co_return work();
}

HttpResponse too_large(std::size_t limit) {
  return error_response(413, "The body is larger than " + std::to_string(limit) + " bytes.",
                        "request_too_large");
}

HttpResponse head_refusal(Connection::ErrorCode error, std::size_t body_limit) {
  if (error == asio::error::timed_out)
    return error_response(408, "The request did not arrive in time.", "request_timeout");
  if (error == http::error::body_limit) return too_large(body_limit);
  if (error == http::error::header_limit || error == http::error::buffer_overflow)
    return error_response(431,
                          "The request line and headers are larger than " +
                              std::to_string(Connection::kMaxHeadBytes) + " bytes.",
                          "headers_too_large");
  return error_response(400, "This is not a valid HTTP/1.1 request: " + error.message() + ".",
                        "bad_request");
}

// Not inside a coroutine: g++ 12 destroys a braced temporary of a co_await expression twice.
HttpResponse internal_error(const std::string& what) {
  return error_response(
      Error{ErrorCode::kInternal, "The server failed on this request: " + what, {}, {}});
}

// The client went away in the middle; nobody is there to read an answer.
bool hung_up(Connection::ErrorCode error) {
  return error && error != asio::error::timed_out &&
         (error.category() == asio::error::get_system_category() ||
          error.category() == asio::error::get_misc_category() ||
          error == http::error::end_of_stream || error == http::error::partial_message);
}

}  // namespace

Session::Task<void> Session::run() {
  std::string failure;
  try {
    while (co_await serve_one()) {
    }
    if (!connection_->gone()) co_await connection_->linger();
  } catch (const std::exception& error) {
    failure = error.what();
  }
  if (!failure.empty() && !connection_->answered()) {
    client_keeps_alive_ = false;
    co_await respond(internal_error(failure));
  }
  connection_->close();
}

bool Session::keep_alive() const {
  return client_keeps_alive_ && !context_.draining && !context_.stopping;
}

WireOptions Session::wire_options() const {
  WireOptions wire;
  wire.keep_alive = keep_alive();
  wire.request_id = request_.request_id;
  return wire;
}

Session::Task<bool> Session::serve_one() {
  const auto idle = std::chrono::duration_cast<Connection::Clock::duration>(
      std::chrono::duration<double>(context_.options.keep_alive_seconds));
  if (!co_await connection_->wait_for_request(idle)) {
    connection_->close();
    co_return false;
  }
  Connection::Parser parser;
  parser.header_limit(Connection::kMaxHeadBytes);
  parser.body_limit(context_.options.max_body_bytes);
  const Connection::ErrorCode error = co_await connection_->read_head(parser, kHeadTime);
  take_head(parser);
  if (error) co_return co_await refuse_head(error, parser);

  Route route;
  std::optional<HttpResponse> answer;
  if (!set_target(request_, parser.get().target()))
    answer = error_response(400, "The path has malformed % escapes.", "bad_request");
  else if (!http_1_0_ && parser.get().count(http::field::host) == 0)
    answer = error_response(400, "An HTTP/1.1 request needs a Host header.", "bad_request");
  else
    answer = context_.gate.check(request_, route);
  if (answer) {
    if (answer->status >= 400) record_refusal(route, *answer);
    co_return co_await refuse_unread(std::move(*answer), parser);
  }
  answer = co_await read_body(parser);
  if (answer) {
    record_refusal(route, *answer);
    client_keeps_alive_ = false;
    co_return co_await respond(std::move(*answer));
  }
  request_.body = std::move(parser.get().body());
  co_return co_await dispatch(route);
}

void Session::take_head(const Connection::Parser& parser) {
  const auto& head = parser.get();
  request_ = HttpRequest{};
  request_.method = std::string(head.method_string());
  for (const auto& field : head)
    request_.headers.emplace_back(lower(field.name_string()), std::string(field.value()));
  request_.has_body =
      parser.is_header_done() && (parser.chunked() || parser.content_length().value_or(0) > 0);
  request_.request_id = request_id_or_new(request_.header("x-request-id"));
  request_.trace_id = trace_id_of(request_.header("traceparent"));
  http_1_0_ = head.version() < 11;
  client_keeps_alive_ = parser.is_header_done() && head.keep_alive();
}

Session::Task<bool> Session::refuse_head(Connection::ErrorCode error,
                                         const Connection::Parser& parser) {
  client_keeps_alive_ = false;
  if (hung_up(error)) {
    connection_->close();
    co_return false;
  }
  HttpResponse refusal = head_refusal(error, context_.options.max_body_bytes);
  Route route;  // known when the head is whole: the body it announces is too large
  if (set_target(request_, parser.get().target()) && find_route(request_.path, route))
    record_refusal(route, refusal);
  co_return co_await respond(std::move(refusal));
}

// A small body that is on its way anyway is read, so that the connection can go on.
Session::Task<bool> Session::refuse_unread(HttpResponse response, Connection::Parser& parser) {
  const bool small = !parser.chunked() && parser.content_length().value_or(0) <= kSmallBody &&
                     request_.header("expect").empty();
  if (request_.has_body && (!small || (co_await connection_->read_body(parser, kBodyTime))))
    client_keeps_alive_ = false;
  co_return co_await respond(std::move(response));
}

Session::Task<std::optional<HttpResponse>> Session::read_body(Connection::Parser& parser) {
  const std::string_view coding = request_.header("transfer-encoding");
  if (!coding.empty() && lower(coding) != "chunked")
    co_return error_response(501, "Only the chunked transfer coding is supported.",
                             "not_implemented");
  const std::string_view expect = request_.header("expect");
  if (!expect.empty() && lower(expect) != "100-continue")
    co_return error_response(417, "Only Expect: 100-continue is supported.", "bad_request");
  if (!expect.empty() && request_.has_body && !http_1_0_)
    co_await connection_->write("HTTP/1.1 100 Continue\r\n\r\n");
  const Connection::ErrorCode error = co_await connection_->read_body(parser, kBodyTime);
  if (!error) co_return std::nullopt;
  if (hung_up(error)) connection_->close();
  co_return head_refusal(error, context_.options.max_body_bytes);
}

Session::Task<bool> Session::dispatch(const Route& route) {
  if (route.endpoint == Endpoint::kLive && wants_live_stream(request_)) {
    WireOptions wire = wire_options();
    wire.framing = http_1_0_ ? Framing::kUntilClose : Framing::kChunked;
    co_return co_await relay_live(context_, connection_, request_, wire);
  }
  if (!generates(route)) {
    HttpResponse response;
    if (route.post)
      response = co_await aside<HttpResponse>([&] { return context_.api.handle(route, request_); });
    else
      response = context_.api.handle(route, request_);
    co_return co_await respond(std::move(response));
  }
  ParsedBody parsed;
  if (request_.body.size() > kSmallBody)
    parsed = co_await aside<ParsedBody>([&] { return parse_generate(route, request_); });
  else
    parsed = parse_generate(route, request_);
  if (!parsed.body) {
    HttpResponse refusal = error_response(parsed.body.error());
    record_refusal(route, refusal, parsed.model);
    co_return co_await respond(std::move(refusal));
  }
  co_return co_await generate(std::move(*parsed.body));
}

template <class T>
Session::Task<T> Session::aside(std::function<T()> work) {
  co_return co_await asio::co_spawn(context_.heavy, call<T>(std::move(work)), asio::use_awaitable);
}

Session::Task<bool> Session::generate(GenerateBody body) {
  WireOptions wire = wire_options();
  wire.keep_alive = wire.keep_alive && !(body.request.stream && http_1_0_);
  if (body.request.stream) wire.framing = http_1_0_ ? Framing::kUntilClose : Framing::kChunked;
  CallRelay relay({context_, connection_, request_, wire}, std::move(body));
  co_return co_await relay.run();
}

// Generation requests are counted and logged, also those that the service never sees.
void Session::record_refusal(const Route& route, const HttpResponse& refusal,
                             const std::string& model) const {
  if (!generates(route)) return;
  GenerateRequest request;
  request.request_id = request_.request_id;
  request.trace_id = request_.trace_id;
  request.model = model;
  request.api = route.endpoint == Endpoint::kChat ? "chat" : "completions";
  const bool keyless = refusal.status == http_status(ErrorCode::kUnauthenticated);
  const ErrorCode code = keyless ? ErrorCode::kUnauthenticated : ErrorCode::kInvalidArgument;
  context_.service.record_refusal(request, code, refusal.status);
}

Session::Task<bool> Session::respond(HttpResponse response) {
  WireOptions wire = wire_options();
  wire.head_only = request_.method == "HEAD";
  context_.gate.add_cors_headers(request_, response);
  const bool written = co_await connection_->write(response_text(response, wire));
  co_return written&& wire.keep_alive;
}

}  // namespace dejavu
