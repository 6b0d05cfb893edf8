#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace dejavu {

struct GrpcOptions {
  std::string host = "127.0.0.1";
  int port = 50051;  // 0 picks one, -1 turns gRPC off
  std::size_t max_message_bytes = std::size_t{32} << 20;
  double max_connection_age_seconds = 3600;
  std::vector<std::string> api_keys;  // empty: none needed
};

}  // namespace dejavu
