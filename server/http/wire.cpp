#include "server/http/wire.h"

#include <array>
#include <charconv>
#include <ctime>

namespace dejavu {
namespace {

std::string_view reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Internal Server Error";
  }
}

std::string http_date() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::array<char, 64> text{};
  const std::size_t length =
      std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &utc);
  return {text.data(), length};
}

void add_header(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\r\n");
}

}  // namespace

std::string response_text(const HttpResponse& response, const WireOptions& options) {
  std::string out = "HTTP/1.1 " + std::to_string(response.status) + " ";
  out.append(reason_phrase(response.status)).append("\r\n");
  add_header(out, "Date", http_date());
  if (!response.content_type.empty()) add_header(out, "Content-Type", response.content_type);
  if (options.framing == Framing::kChunked)
    add_header(out, "Transfer-Encoding", "chunked");
  else if (options.framing == Framing::kLength && response.status != 204)
    add_header(out, "Content-Length", std::to_string(response.body.size()));
  add_header(out, "Connection", options.keep_alive ? "keep-alive" : "close");
  if (!options.request_id.empty()) add_header(out, "X-Request-Id", options.request_id);
  for (const auto& [name, value] : response.headers) add_header(out, name, value);
  out += "\r\n";
  if (options.framing == Framing::kLength && !options.head_only) out += response.body;
  return out;
}

std::string chunk_text(std::string_view data, Framing framing) {
  if (framing != Framing::kChunked) return std::string(data);
  std::array<char, 16> size{};
  const char* end = std::to_chars(size.data(), size.data() + size.size(), data.size(), 16).ptr;
  std::string out(static_cast<const char*>(size.data()), end);
  out.append("\r\n").append(data).append("\r\n");
  return out;
}

}  // namespace dejavu
