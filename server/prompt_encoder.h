// From a request's prompt to token ids: chat template, tokeniser, and the checks that need no
// engine. Pure functions of the model; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "server/generation_service.h"
#include "server/loaded_model.h"

namespace dejavu {

struct EncodedPrompt {
  std::vector<std::int32_t> ids;
  std::string text;  // as given or rendered; of token ids, what they decode to when asked for
};

struct EncodeOptions {
  bool add_special_tokens = true;  // text prompts only
  // Refuse text that cannot fit a context of this many tokens before tokenising it; absent: any
  // length.
  std::optional<std::int64_t> context_tokens;
  bool allow_empty = false;  // no tokens at all: for /tokenize
};

// INVALID_ARGUMENT: no template, a template's own error, ids outside the vocabulary, no tokens.
Result<EncodedPrompt> encode_prompt(const LoadedModel& model, const Prompt& prompt,
                                    const EncodeOptions& options);

Result<std::string> render_chat(const LoadedModel& model, const ChatPrompt& chat);

// Every id within [0, vocab_size).
Status check_token_ids(const LoadedModel& model, const std::vector<std::int32_t>& ids,
                       const char* field);

// The request field a prompt came in: "messages" or "prompt".
const char* prompt_field(const Prompt& prompt);

// The 400 with code context_length_exceeded; `tail` follows the model's limit.
tl::unexpected<Error> context_length_error(int max_model_len, const std::string& tail,
                                           const char* param);
// The same for a prompt of `tokens`, a number in words, that leaves no room.
tl::unexpected<Error> prompt_too_long(int max_model_len, const Prompt& prompt,
                                      const std::string& tokens);

}  // namespace dejavu
