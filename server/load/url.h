// http://HOST:PORT and grpc://HOST:PORT, as --url takes them.
#pragma once

#include <string>
#include <string_view>

#include "engine/core/result.h"

namespace dejavu {

struct Url {
  bool grpc = false;
  std::string host;  // without brackets
  std::string port;
  std::string base_path;  // "" or "/prefix"

  // HOST:PORT as a Host header or a gRPC target writes it.
  std::string authority() const;
};

Result<Url> parse_url(std::string_view text);

}  // namespace dejavu
