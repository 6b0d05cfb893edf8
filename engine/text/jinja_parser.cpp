#include "engine/text/jinja_parser.h"

#include <algorithm>

#include "engine/text/jinja_functions.h"
#include "engine/text/jinja_methods.h"

namespace dejavu::jinja {
namespace {

constexpr int kMaxNesting = 150;
constexpr int kMaxLinks = 200;

std::string describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::kEnd:
      return "the end of the template";
    case TokenKind::kBlockEnd:
      return "'%}'";
    case TokenKind::kVariableEnd:
      return "'}}'";
    case TokenKind::kString:
      return "a string";
    default:
      return "'" + token.text + "'";
  }
}

}  // namespace

Parser::Nesting::Nesting(Parser& parser) : parser_(parser) {
  if (++parser_.nesting_ > kMaxNesting) {
    --parser_.nesting_;  // the destructor will not run
    parser_.fail("the template is nested too deeply");
  }
}

void Parser::count_link(int& links) const {
  if (++links > kMaxLinks) fail("an expression is too long");
}

const Token& Parser::ahead() const { return tokens_[std::min(position_ + 1, tokens_.size() - 1)]; }

bool Parser::at_operator(std::string_view op) const {
  return current().kind == TokenKind::kOperator && current().text == op;
}

bool Parser::at_name(std::string_view name) const {
  return current().kind == TokenKind::kName && current().text == name;
}

bool Parser::skip_operator(std::string_view op) {
  if (!at_operator(op)) return false;
  next();
  return true;
}

bool Parser::skip_name(std::string_view name) {
  if (!at_name(name)) return false;
  next();
  return true;
}

void Parser::expect_operator(std::string_view op) {
  if (!skip_operator(op)) fail("'" + std::string(op) + "' expected, not " + describe(current()));
}

void Parser::expect_name(std::string_view name) {
  if (!skip_name(name)) fail("'" + std::string(name) + "' expected, not " + describe(current()));
}

void Parser::expect(TokenKind kind, std::string_view what) {
  if (current().kind != kind) fail(std::string(what) + " expected, not " + describe(current()));
  next();
}

std::string Parser::expect_identifier() {
  if (current().kind != TokenKind::kName) fail("a name expected, not " + describe(current()));
  return next().text;
}

void Parser::fail(const std::string& what) const { fail_at(current().line, what); }

void Parser::fail_at(int line, const std::string& what) const {
  throw TemplateError("line " + std::to_string(line) + ": " + what);
}

Body Parser::parse() {
  Body body = parse_body({});
  check_called_names();
  return body;
}

void Parser::check_called_names() const {
  for (const auto& [name, line] : called_) {
    if (!assigned_.contains(name) && !global_functions().contains(name)) {
      fail_at(line, "the function '" + name + "' is not supported");
    }
  }
  for (const auto& [name, line] : called_methods_) {
    if (!assigned_.contains(name) && !is_method_name(name)) {
      fail_at(line, "the method '" + name + "' is not supported");
    }
  }
}

}  // namespace dejavu::jinja
