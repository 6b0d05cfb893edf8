// Prompts: text, token ids, lists of either, and chat messages.
#pragma once

#include <vector>

#include "server/generation_service.h"
#include "server/http/fields.h"

namespace dejavu {

// "prompt": a string, a list of strings, a list of token ids, or a list of such lists.
std::vector<Prompt> parse_prompts(Fields& fields);

// "messages" with add_generation_prompt, continue_final_message and chat_template_kwargs.
ChatPrompt parse_chat_prompt(Fields& fields);

}  // namespace dejavu
