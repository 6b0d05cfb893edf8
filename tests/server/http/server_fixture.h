// A started HTTP server over a fake service.
#pragma once

#include <catch2/catch.hpp>
#include <memory>

#include "server/http/http_server.h"
#include "tests/support/fake_service.h"
#include "tests/support/http_client.h"

namespace dejavu {

struct HttpFixture {
  explicit HttpFixture(HttpOptions options = {}) {
    options.port = 0;
    auto started = HttpServer::start(options, service, *metrics);
    REQUIRE(started.has_value());
    server = std::move(*started);
  }
  HttpClient connect() const { return HttpClient(server->port()); }
  HttpReply get(const std::string& path) const { return connect().get(path); }
  HttpReply post(const std::string& path, const std::string& body) const {
    return connect().post(path, body);
  }

  FakeService service;
  std::unique_ptr<Metrics> metrics = Metrics::create();
  std::unique_ptr<HttpServer> server;
};

}  // namespace dejavu
