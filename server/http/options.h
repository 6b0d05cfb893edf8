#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace dejavu {

struct HttpOptions {
  std::string host = "127.0.0.1";
  int port = 8000;  // 0 picks one
  int threads = 1;
  std::size_t max_body_bytes = std::size_t{32} << 20;
  double keep_alive_seconds = 75;
  double ping_seconds = 15;               // SSE comment after this much silence
  std::vector<std::string> cors_origins;  // empty: CORS off
  std::vector<std::string> api_keys;      // empty: none needed
  bool ui = true;                         // the page at /
};

}  // namespace dejavu
