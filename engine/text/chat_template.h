// Chat templates: the Jinja subset that published templates use, compiled when the model loads and
// rendered under an instruction budget. Immutable after compiling: any thread may render.
#pragma once

#include <cstddef>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "engine/core/result.h"

namespace dejavu {

class ChatTemplate {
 public:
  // An unsupported construct is an error that names it and its line.
  static Result<std::shared_ptr<const ChatTemplate>> compile(std::string_view source);
  virtual ~ChatTemplate() = default;

  // `variables`: messages, add_generation_prompt, bos_token, eos_token and any
  // chat_template_kwargs. raise_exception() in the template, a type error or an exhausted budget is
  // INVALID_ARGUMENT.
  virtual Result<std::string> render(const nlohmann::ordered_json& variables) const = 0;
};

}  // namespace dejavu
