#include "server/load/http_target.h"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/system/system_error.hpp>
#include <nlohmann/json.hpp>
#include <thread>

#include "server/load/sse_reader.h"

namespace dejavu {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::use_awaitable;
using nlohmann::json;
using Stream = std::unique_ptr<beast::tcp_stream>;
using Request = http::request<http::string_body>;

// What went wrong, without the place in Boost where it was noticed.
std::string text_of(const std::exception& failure) {
  const auto* system = dynamic_cast<const boost::system::system_error*>(&failure);
  return system != nullptr ? system->code().message() : failure.what();
}

// What a server says when it refuses, in few words.
std::string refusal(unsigned status, const std::string& body) {
  const json answer = json::parse(body, nullptr, false);
  std::string message = "HTTP " + std::to_string(status);
  if (answer.is_object() && answer.contains("error") && answer["error"].is_object()) {
    message += ": " + answer["error"].value("message", std::string());
  }
  return message;
}

// Takes one event in; the text of an error the server reports, else "".
std::string take_event(const std::string& payload, LoadStopwatch& watch) {
  const json event = json::parse(payload, nullptr, false);
  if (!event.is_object()) return payload == "[DONE]" ? "" : "not a JSON event: " + payload;
  if (const auto error = event.find("error"); error != event.end()) {
    return error->is_object() ? error->value("message", std::string("error")) : error->dump();
  }
  if (const auto choices = event.find("choices"); choices != event.end() && !choices->empty()) {
    watch.token();
  }
  if (const auto usage = event.find("usage"); usage != event.end() && usage->is_object()) {
    watch.prompt_tokens = usage->value("prompt_tokens", 0);
    watch.completion_tokens = usage->value("completion_tokens", 0);
  }
  return {};
}

class HttpTarget final : public LoadTarget {
 public:
  HttpTarget(Url url, LoadSettings settings)
      : url_(std::move(url)), settings_(std::move(settings)) {}
  ~HttpTarget() override {
    work_.reset();
    thread_.join();
  }
  HttpTarget(const HttpTarget&) = delete;
  HttpTarget& operator=(const HttpTarget&) = delete;

  Status connect() {
    auto answer = wait_for(make_request(http::verb::get, "/v1/models", {}));
    if (!answer) return tl::unexpected(answer.error());
    const json models = answer->value("data", json::array());
    if (models.empty()) return invalid("--url: the server lists no model at /v1/models", "url");
    model_ = models[0].value("id", std::string());
    return {};
  }

  Result<std::vector<std::int32_t>> tokenize(const std::string& text) override {
    const json body = {{"model", model_}, {"prompt", text}, {"add_special_tokens", false}};
    auto answer = wait_for(make_request(http::verb::post, "/tokenize", body.dump()));
    if (!answer) return tl::unexpected(answer.error());
    const json tokens = answer->value("tokens", json::array());
    std::vector<std::int32_t> ids;
    for (const json& id : tokens) ids.push_back(id.is_number_integer() ? id.get<int>() : 0);
    return ids;
  }

  void send(const LoadPrompt& prompt, Done done) override {
    json body = {{"model", model_},
                 {"max_tokens", prompt.max_tokens},
                 {"stream", true},
                 {"stream_options", {{"include_usage", true}}}};
    if (prompt.ids.empty()) {
      body["prompt"] = prompt.text;
    } else {
      body["prompt"] = prompt.ids;
    }
    if (settings_.temperature) body["temperature"] = *settings_.temperature;
    if (settings_.ignore_eos) body["ignore_eos"] = true;
    asio::co_spawn(io_, run_one(make_request(http::verb::post, "/v1/completions", body.dump())),
                   [done = std::move(done)](const std::exception_ptr&, LoadRecord record) {
                     done(std::move(record));
                   });
  }

 private:
  Request make_request(http::verb verb, const std::string& path, std::string body) const {
    Request request{verb, url_.base_path + path, 11};
    request.set(http::field::host, url_.authority());
    if (!settings_.api_key.empty()) {
      request.set(http::field::authorization, "Bearer " + settings_.api_key);
    }
    if (!body.empty()) request.set(http::field::content_type, "application/json");
    request.body() = std::move(body);
    request.prepare_payload();
    return request;
  }

  asio::awaitable<Stream> take_connection() {
    if (!idle_.empty()) {
      Stream stream = std::move(idle_.back());
      idle_.pop_back();
      co_return stream;
    }
    asio::ip::tcp::resolver resolver(io_);
    const auto endpoints = co_await resolver.async_resolve(url_.host, url_.port, use_awaitable);
    auto stream = std::make_unique<beast::tcp_stream>(io_);
    co_await stream->async_connect(endpoints, use_awaitable);
    stream->socket().set_option(asio::ip::tcp::no_delay(true));
    co_return stream;
  }

  // One streamed completion. Network failures become the record's error.
  asio::awaitable<LoadRecord> run_one(Request request) {
    LoadStopwatch watch;
    std::string error;
    try {
      Stream stream = co_await take_connection();
      error = co_await exchange(*stream, request, watch);
      if (error.empty()) idle_.push_back(std::move(stream));
    } catch (const std::exception& failure) {
      error = text_of(failure);
    }
    if (error.empty() && watch.completion_tokens == 0) error = "the stream ended without usage";
    co_return watch.finish(error);
  }

  static asio::awaitable<std::string> exchange(beast::tcp_stream& stream, const Request& request,
                                               LoadStopwatch& watch) {
    co_await http::async_write(stream, request, use_awaitable);
    beast::flat_buffer buffer;
    http::response_parser<http::string_body> parser;
    parser.body_limit(boost::none);
    co_await http::async_read_header(stream, buffer, parser, use_awaitable);
    const bool streaming = parser.get().result() == http::status::ok;
    SseReader reader;
    std::string error;
    while (true) {
      if (streaming) {
        for (const std::string& payload : reader.feed(std::exchange(parser.get().body(), {}))) {
          if (error.empty()) error = take_event(payload, watch);
        }
      }
      if (parser.is_done()) break;
      co_await http::async_read_some(stream, buffer, parser, use_awaitable);
    }
    co_return streaming ? error : refusal(parser.get().result_int(), parser.get().body());
  }

  // A plain request, waited for by the calling thread.
  Result<json> wait_for(Request request) {
    try {
      return asio::co_spawn(io_, fetch(std::move(request)), asio::use_future).get();
    } catch (const std::exception& failure) {
      return fail(ErrorCode::kUnavailable, "--url: " + url_.authority() + ": " + text_of(failure),
                  "url");
    }
  }

  asio::awaitable<Result<json>> fetch(Request request) {
    Stream stream = co_await take_connection();
    co_await http::async_write(*stream, request, use_awaitable);
    beast::flat_buffer buffer;
    http::response<http::string_body> response;
    co_await http::async_read(*stream, buffer, response, use_awaitable);
    json body = json::parse(response.body(), nullptr, false);
    if (response.result() != http::status::ok || !body.is_object()) {
      co_return invalid("--url: " + std::string(request.target()) + ": " +
                        refusal(response.result_int(), response.body()));
    }
    idle_.push_back(std::move(stream));
    co_return body;
  }

  const Url url_;
  const LoadSettings settings_;
  std::string model_;
  asio::io_context io_{1};
  std::vector<Stream> idle_;  // I/O thread only
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  std::thread thread_{[this] { io_.run(); }};
};

}  // namespace

Result<std::unique_ptr<LoadTarget>> make_http_target(const Url& url, const LoadSettings& settings) {
  auto target = std::make_unique<HttpTarget>(url, settings);
  if (const Status connected = target->connect(); !connected) {
    return tl::unexpected(connected.error());
  }
  return target;
}

}  // namespace dejavu
