// An OpenAI-style HTTP server as a LoadTarget: streams /v1/completions over kept-alive connections.
#pragma once

#include <memory>

#include "server/load/load_target.h"
#include "server/load/url.h"

namespace dejavu {

// Asks the server for its model's name. All streams share one I/O thread.
Result<std::unique_ptr<LoadTarget>> make_http_target(const Url& url, const LoadSettings& settings);

}  // namespace dejavu
