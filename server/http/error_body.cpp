#include "server/http/error_body.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "server/error_status.h"

namespace dejavu {
namespace {

using nlohmann::ordered_json;

const char* type_of(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    case 503:
      return "service_unavailable_error";
    case 504:
      return "timeout_error";
    default:
      return status < 500 ? "invalid_request_error" : "server_error";
  }
}

ordered_json text_or_null(const std::string& text) {
  return text.empty() ? ordered_json() : ordered_json(text);
}

std::string body_of(int status, const Error& error) {
  const ordered_json body = {{"error",
                              {{"message", error.message},
                               {"type", type_of(status)},
                               {"param", text_or_null(error.param)},
                               {"code", text_or_null(error.reason)}}}};
  return body.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

HttpResponse response_of(int status, const Error& error) {
  HttpResponse response;
  response.status = status;
  response.body = body_of(status, error);
  if (status == 429) response.headers.emplace_back("Retry-After", "1");
  if (status == 503) response.headers.emplace_back("Retry-After", "5");
  if (status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

}  // namespace

std::string error_body(const Error& error) { return body_of(http_status(error.code), error); }

HttpResponse error_response(const Error& error) {
  return response_of(http_status(error.code), error);
}

HttpResponse error_response(int status, std::string message, std::string code) {
  return response_of(status,
                     Error{ErrorCode::kInvalidArgument, std::move(message), {}, std::move(code)});
}

HttpResponse nothing_served(const HttpRequest& request) {
  return error_response(
      404, "Nothing is served at " + request.path + ". The endpoints are listed in /openapi.json.",
      "not_found");
}

}  // namespace dejavu
