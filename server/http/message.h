// One HTTP request and one response as plain data: handlers know nothing of sockets or Beast.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dejavu {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method;
  std::string path;        // percent-decoded, without query
  HttpHeaders headers;     // names in lower case
  std::string body;        // empty until it was read
  bool has_body = false;   // announced by Content-Length or Transfer-Encoding
  std::string request_id;  // X-Request-Id when valid, else made by the server
  std::string trace_id;    // of traceparent; may be empty
  std::string_view header(std::string_view lower_case_name) const;  // first one, or empty
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  HttpHeaders headers;  // beside Content-Type, Content-Length, Connection, Date and X-Request-Id
};

std::string lower(std::string_view text);  // ASCII letters only

// Fills path from a request target in origin, absolute or asterisk form; false when its escapes are
// malformed.
bool set_target(HttpRequest& request, std::string_view target);

}  // namespace dejavu
