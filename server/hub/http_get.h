// GET and HEAD over HTTP or HTTPS, with redirects followed. Blocking; any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "engine/core/result.h"

namespace dejavu {

struct HttpGet {
  std::string url;
  std::string bearer;      // sent to the first host only, never to where it redirects
  std::uint64_t from = 0;  // first byte wanted
  std::uint64_t to = 0;    // the byte behind the last one wanted; 0: all
};

// Takes the body piece by piece; false ends the transfer. `resumed`: the body begins at `from`, not
// at its own start.
using BodySink = std::function<bool(std::string_view piece, bool resumed)>;

// The final status, also 404 and the like, whose bodies are not handed on. UNAVAILABLE when the
// connection could not be made or broke: worth another try.
Result<int> http_get(const HttpGet& get, const BodySink& sink);

struct HttpHead {
  int status = 0;
  std::map<std::string, std::string> fields;  // names in lower case
};

// Redirects are followed until an answer `suffices`; the last one is returned in any case.
Result<HttpHead> http_head(const HttpGet& get,
                           const std::function<bool(const HttpHead&)>& suffices);

}  // namespace dejavu
