// Bodies of /v1/completions and /v1/chat/completions as native requests.
#pragma once

#include <nlohmann/json.hpp>

#include "engine/core/result.h"
#include "server/generation_service.h"

namespace dejavu {

// A request with what its reply must look like.
struct GenerateBody {
  GenerateRequest request;
  bool chat = false;
  bool include_usage = false;     // stream_options
  bool continuous_usage = false;  // usage in every chunk
};

Result<GenerateBody> parse_completion(const nlohmann::ordered_json& body);
Result<GenerateBody> parse_chat(const nlohmann::ordered_json& body);

}  // namespace dejavu
