// Serves the requests of one connection, one after the other.
#pragma once

#include <atomic>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "server/http/api.h"
#include "server/http/connection.h"
#include "server/http/gate.h"
#include "server/http/live_feed.h"
#include "server/http/parse_generate.h"
#include "server/http/wire.h"

namespace dejavu {

// What the sessions of one server share.
struct SessionContext {
  SessionContext(const HttpOptions& http, GenerationService& generation, Metrics& metrics)
      : options(http),
        service(generation),
        gate(http),
        live(generation, metrics),
        api(generation, metrics, live) {}

  HttpOptions options;
  GenerationService& service;
  Gate gate;
  LiveFeed live;
  Api api;
  boost::asio::thread_pool heavy{1};  // large bodies and tokenizing: never on an I/O thread
  std::atomic<bool> draining{false};  // responses close their connections
  std::atomic<bool> stopping{false};  // calls are cancelled
};

class Session {
 public:
  template <class T>
  using Task = Connection::Task<T>;

  Session(SessionContext& context, std::shared_ptr<Connection> connection)
      : context_(context), connection_(std::move(connection)) {}

  // Until the connection is closed.
  Task<void> run();

 private:
  // One request and its response; false when the connection must close.
  Task<bool> serve_one();
  void take_head(const Connection::Parser& parser);
  Task<bool> refuse_head(Connection::ErrorCode error, const Connection::Parser& parser);
  Task<bool> refuse_unread(HttpResponse response, Connection::Parser& parser);
  Task<std::optional<HttpResponse>> read_body(Connection::Parser& parser);
  Task<bool> dispatch(const Route& route);
  Task<bool> generate(GenerateBody body);
  // Runs `work` on the pool for heavy work.
  template <class T>
  Task<T> aside(std::function<T()> work);
  void record_refusal(const Route& route, const HttpResponse& refusal,
                      const std::string& model = {}) const;
  Task<bool> respond(HttpResponse response);
  bool keep_alive() const;
  WireOptions wire_options() const;

  SessionContext& context_;
  std::shared_ptr<Connection> connection_;
  HttpRequest request_;
  bool client_keeps_alive_ = true;
  bool http_1_0_ = false;
};

}  // namespace dejavu
