#include "server/load/url.h"

namespace dejavu {

std::string Url::authority() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + port;
}

Result<Url> parse_url(std::string_view text) {
  Url url;
  const auto refused = [&] {
    return invalid("--url: '" + std::string(text) +
                       "' is not a daemon's address; use http://HOST:PORT or grpc://HOST:PORT",
                   "url");
  };
  if (text.starts_with("grpc://")) {
    url.grpc = true;
  } else if (!text.starts_with("http://")) {
    return refused();
  }
  std::string_view rest = text.substr(7);
  if (const std::size_t slash = rest.find('/'); slash != std::string_view::npos) {
    url.base_path = rest.substr(slash);
    while (url.base_path.ends_with('/')) url.base_path.pop_back();
    rest = rest.substr(0, slash);
  }
  std::size_t host_end = rest.find(':');
  if (rest.starts_with('[')) {
    const std::size_t bracket = rest.find(']');
    if (bracket == std::string_view::npos) return refused();
    url.host = rest.substr(1, bracket - 1);
    host_end = bracket + 1;
  } else {
    url.host = rest.substr(0, host_end);
  }
  if (host_end < rest.size()) {
    if (rest[host_end] != ':') return refused();
    url.port = rest.substr(host_end + 1);
  } else {
    url.port = url.grpc ? "50051" : "80";
  }
  if (url.host.empty() || url.port.empty()) return refused();
  return url;
}

}  // namespace dejavu
