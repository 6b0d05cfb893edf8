#include "server/http/parse_prompt.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace dejavu {
namespace {

using nlohmann::ordered_json;

constexpr const char* kPromptShapes =
    "must be a string, a list of strings, a list of token ids, or a list of lists of token ids, "
    "and not empty";

bool is_role(std::string_view role) {
  constexpr std::string_view kRoles[] = {"system", "developer", "user", "assistant", "tool"};
  return std::find(std::begin(kRoles), std::end(kRoles), role) != std::end(kRoles);
}

// Nothing unless `list` is a non-empty list of token ids.
std::optional<std::vector<std::int32_t>> token_list(const ordered_json& list) {
  if (!list.is_array() || list.empty()) return {};
  std::vector<std::int32_t> ids;
  ids.reserve(list.size());
  for (const ordered_json& value : list) {
    const auto id = as_integer(value, kTokenIds);
    if (!id) return {};
    ids.push_back(static_cast<std::int32_t>(*id));
  }
  return ids;
}

std::optional<Prompt> one_prompt(const ordered_json& value) {
  if (value.is_string()) return Prompt(value.get<std::string>());
  if (auto ids = token_list(value)) return Prompt(std::move(*ids));
  return {};
}

// The text of one content part; other kinds of part are refused by their name.
std::string part_text(Fields& part) {
  const auto type = part.text("type");
  if (!part.ok()) return {};
  if (!type) {
    part.refuse("type", "is missing");
  } else if (*type != "text") {
    part.refuse(*type, "is not supported: this server reads text parts only");
  } else {
    auto text = part.text("text");
    if (text) return std::move(*text);
    part.refuse("text", "is missing");
  }
  return {};
}

// A string, null, or text parts, which are joined by line breaks as in vLLM.
std::string parse_content(Fields& message, const std::string& path) {
  const ordered_json* content = message.any("content");
  if (content == nullptr) return {};
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) {
    message.refuse("content", "must be a string, null or a list of text parts");
    return {};
  }
  std::string joined;
  for (std::size_t i = 0; i < content->size(); ++i) {
    const std::string part_path = path + "content[" + std::to_string(i) + "]";
    if (!(*content)[i].is_object()) {
      message.refuse("content[" + std::to_string(i) + "]", "must be an object with a type");
      return {};
    }
    Fields part((*content)[i], part_path + ".");
    const std::string text = part_text(part);
    if (!part.ok()) {
      message.refuse(part.error());
      return {};
    }
    if (i > 0) joined += '\n';
    joined += text;
  }
  return joined;
}

ChatMessage parse_message(Fields& message, const ordered_json& object, const std::string& path) {
  ChatMessage parsed;
  const auto role = message.text("role");
  if (!role)
    message.refuse("role", "is missing");
  else if (!is_role(*role))
    message.refuse("role", "must be system, developer, user, assistant or tool");
  parsed.role = role.value_or("");
  parsed.content = parse_content(message, path);
  parsed.extra = ordered_json::object();
  for (const auto& [name, value] : object.items())
    if (name != "role" && name != "content" && !value.is_null()) parsed.extra[name] = value;
  return parsed;
}

}  // namespace

std::vector<Prompt> parse_prompts(Fields& fields) {
  const ordered_json* prompt = fields.any("prompt");
  if (prompt == nullptr) {
    fields.refuse("prompt", "is missing");
    return {};
  }
  if (auto single = one_prompt(*prompt)) return {std::move(*single)};
  std::vector<Prompt> prompts;
  if (prompt->is_array()) {
    for (const ordered_json& value : *prompt) {
      auto one = one_prompt(value);
      if (!one) {
        prompts.clear();
        break;
      }
      prompts.push_back(std::move(*one));
    }
  }
  if (prompts.empty()) fields.refuse("prompt", kPromptShapes);
  return prompts;
}

ChatPrompt parse_chat_prompt(Fields& fields) {
  ChatPrompt chat;
  const ordered_json* messages = fields.array("messages");
  if (messages == nullptr || messages->empty()) {
    fields.refuse("messages", messages == nullptr ? "is missing" : "must not be empty");
    return chat;
  }
  for (std::size_t i = 0; i < messages->size() && fields.ok(); ++i) {
    const std::string path = "messages[" + std::to_string(i) + "]";
    if (!(*messages)[i].is_object()) {
      fields.refuse(path, "must be an object with a role");
      break;
    }
    Fields message((*messages)[i], path + ".");
    chat.messages.push_back(parse_message(message, (*messages)[i], path + "."));
    if (!message.ok()) fields.refuse(message.error());
  }
  chat.add_generation_prompt = fields.boolean("add_generation_prompt").value_or(true);
  chat.continue_final_message = fields.boolean("continue_final_message").value_or(false);
  const ordered_json* kwargs = fields.object("chat_template_kwargs");
  chat.template_kwargs = kwargs == nullptr ? ordered_json::object() : *kwargs;
  return chat;
}

}  // namespace dejavu
