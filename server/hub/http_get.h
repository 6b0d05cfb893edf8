// GET over HTTP or HTTPS, into a sink, with redirects followed. Blocking; any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "engine/core/result.h"

namespace dejavu {

struct HttpGet {
  std::string url;
  std::string bearer;      // sent to the first host only, never to where it redirects
  std::uint64_t from = 0;  // first byte wanted
};

// Takes the body piece by piece; false ends the transfer. `resumed`: the body begins at `from`, not
// at its own start.
using BodySink = std::function<bool(std::string_view piece, bool resumed)>;

// The final status, also 404 and the like, whose bodies are not handed on. UNAVAILABLE when the
// connection could not be made or broke: worth another try.
Result<int> http_get(const HttpGet& get, const BodySink& sink);

}  // namespace dejavu
