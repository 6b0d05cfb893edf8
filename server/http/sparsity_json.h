// Contextual sparsity on the wire: what a reply used, and the state of every layer.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "server/generation_service.h"

namespace dejavu {

inline constexpr const char* kSparsityHeader = "X-Dejavu-Sparsity";

// "lookahead; mlp_density=0.2841; head_density=0.7083" (an item with parameters, RFC 8941).
std::string sparsity_header(const SparsityUse& use);
nlohmann::ordered_json sparsity_json(const SparsityUse& use);
nlohmann::ordered_json token_audit_json(const TokenAudit& audit);
// The body of GET /v1/sparsity.
nlohmann::ordered_json sparsity_status_json(const SparsityStatus& status);

}  // namespace dejavu
