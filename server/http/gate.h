// What is decided from the head of a request alone: route, method, API key, content type, CORS.
#pragma once

#include <optional>
#include <string>

#include "server/http/message.h"
#include "server/http/options.h"
#include "server/http/router.h"

namespace dejavu {

class Gate {
 public:
  explicit Gate(const HttpOptions& options) : options_(options) {}

  // The answer when the request needs no handler (OPTIONS) or is refused; otherwise nothing, and
  // `route` says where it goes.
  std::optional<HttpResponse> check(const HttpRequest& request, Route& route) const;
  // Adds what CORS wants on every response to `request`.
  void add_cors_headers(const HttpRequest& request, HttpResponse& response) const;

 private:
  bool origin_allowed(std::string_view origin) const;
  HttpResponse options_response(const HttpRequest& request, const std::string& allow) const;

  HttpOptions options_;
};

}  // namespace dejavu
