// Cuts a chat template into tokens and applies whitespace control, as jinja2 does with trim_blocks
// and lstrip_blocks (the settings of transformers).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dejavu::jinja {

enum class TokenKind {
  kData,  // text outside tags
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind;
  std::string text;  // of a string: its value, escapes resolved
  int line;
};

// The last token is kEnd. Throws TemplateError, which names the line.
std::vector<Token> tokenize(std::string_view source);

}  // namespace dejavu::jinja
