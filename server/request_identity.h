// Who a request is and who sends it, as both fronts read it from headers or metadata.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dejavu {

// The client's X-Request-Id when it is short, printable ASCII; else a new random id of 32 hex
// digits.
std::string request_id_or_new(std::string_view client_id);

// The trace id of a W3C traceparent; "" when it is absent or malformed.
std::string trace_id_of(std::string_view traceparent);

// Whether an Authorization value carries one of `api_keys` as its bearer token. Takes as long
// wherever two keys of one length differ.
bool bearer_token_matches(std::string_view authorization, const std::vector<std::string>& api_keys);

}  // namespace dejavu
