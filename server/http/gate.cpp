#include "server/http/gate.h"

#include <algorithm>
#include <string_view>

#include "server/http/error_body.h"
#include "server/request_identity.h"

namespace dejavu {
namespace {

// "application/json; charset=utf-8" and the like; no type at all is taken for JSON.
bool is_json(std::string_view content_type) {
  std::string type = lower(content_type.substr(0, content_type.find(';')));
  type.erase(type.find_last_not_of(" \t") + 1);
  return type.empty() || type == "application/json";
}

}  // namespace

bool Gate::origin_allowed(std::string_view origin) const {
  return !origin.empty() && std::any_of(options_.cors_origins.begin(), options_.cors_origins.end(),
                                        [&](const std::string& allowed) {
                                          return allowed == "*" || allowed == origin;
                                        });
}

HttpResponse Gate::options_response(const HttpRequest& request, const std::string& allow) const {
  HttpResponse response;
  response.status = 204;
  response.content_type.clear();
  response.headers.emplace_back("Allow", allow);
  if (!origin_allowed(request.header("origin")) ||
      request.header("access-control-request-method").empty())
    return response;
  const std::string_view asked = request.header("access-control-request-headers");
  response.headers.emplace_back("Access-Control-Allow-Methods", allow);
  response.headers.emplace_back(
      "Access-Control-Allow-Headers",
      asked.empty() ? "Authorization, Content-Type, X-Request-Id" : std::string(asked));
  response.headers.emplace_back("Access-Control-Max-Age", "600");
  return response;
}

std::optional<HttpResponse> Gate::check(const HttpRequest& request, Route& route) const {
  const bool found =
      find_route(request.path, route) && (options_.ui || route.endpoint != Endpoint::kPage);
  if (request.method == "OPTIONS") {
    if (request.path == "*") return options_response(request, "GET, HEAD, POST, OPTIONS");
    return found ? options_response(request, route.allow()) : nothing_served(request);
  }
  const bool open = options_.api_keys.empty() || (found && route.needs_no_key);
  if (!open && !bearer_token_matches(request.header("authorization"), options_.api_keys)) {
    return error_response(Error{ErrorCode::kUnauthenticated,
                                "This server needs an API key: send Authorization: Bearer KEY.",
                                {},
                                "invalid_api_key"});
  }
  if (!found) return nothing_served(request);
  if (!route.allows(request.method)) {
    HttpResponse response = error_response(
        405, request.path + " does not serve " + request.method + ", only " + route.allow() + ".",
        "method_not_allowed");
    response.headers.emplace_back("Allow", route.allow());
    return response;
  }
  if (!route.post) return {};
  if (!is_json(request.header("content-type")))
    return error_response(415, "The body must be JSON: send Content-Type: application/json.",
                          "unsupported_media_type");
  const std::string coding = lower(request.header("content-encoding"));
  if (!coding.empty() && coding != "identity")
    return error_response(415, "Content-Encoding " + coding + " is not supported: send plain JSON.",
                          "unsupported_media_type");
  return {};
}

void Gate::add_cors_headers(const HttpRequest& request, HttpResponse& response) const {
  if (options_.cors_origins.empty()) return;
  response.headers.emplace_back("Vary", "Origin");
  const std::string_view origin = request.header("origin");
  if (!origin_allowed(origin)) return;
  response.headers.emplace_back("Access-Control-Allow-Origin", std::string(origin));
  response.headers.emplace_back("Access-Control-Expose-Headers",
                                "X-Request-Id, X-Dejavu-Sparsity, Retry-After");
}

}  // namespace dejavu
