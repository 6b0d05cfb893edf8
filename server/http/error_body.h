// Errors on the wire: {"error":{"message","type","param","code"}} with the status of the code.
#pragma once

#include <string>

#include "engine/core/error.h"
#include "server/http/message.h"

namespace dejavu {

std::string error_body(const Error& error);

// The whole refusal; 429 and 503 carry Retry-After, 401 WWW-Authenticate.
HttpResponse error_response(const Error& error);
// For statuses that only HTTP knows: 405, 408, 413, 415, 431 …
HttpResponse error_response(int status, std::string message, std::string code);
// 404 for a path.
HttpResponse nothing_served(const HttpRequest& request);

}  // namespace dejavu
