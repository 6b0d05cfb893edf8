// Log-probabilities in the three shapes clients expect.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "server/generation_service.h"

namespace dejavu {

// OpenAI completions: tokens, token_logprobs, top_logprobs (at most `alternatives` of them and the
// token itself), text_offset.
nlohmann::ordered_json completion_logprobs(const std::vector<TokenText>& tokens, int alternatives);
// OpenAI chat: content[{token, logprob, bytes, top_logprobs}].
nlohmann::ordered_json chat_logprobs(const std::vector<TokenText>& tokens);
// vLLM: one null or {id: {logprob, rank, decoded_token}} a prompt token.
nlohmann::ordered_json prompt_logprobs_json(const std::vector<TokenText>& tokens);

}  // namespace dejavu
