// Responses as HTTP/1 text.
#pragma once

#include <string>
#include <string_view>

#include "server/http/message.h"

namespace dejavu {

enum class Framing { kLength, kChunked, kUntilClose };

struct WireOptions {
  Framing framing = Framing::kLength;
  bool keep_alive = true;
  bool head_only = false;  // HEAD: Content-Length of the body, without the body
  std::string_view request_id;
};

std::string response_text(const HttpResponse& response, const WireOptions& options);
std::string chunk_text(std::string_view data, Framing framing);

}  // namespace dejavu
