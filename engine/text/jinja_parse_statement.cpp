#include <algorithm>

#include "engine/text/jinja_parser.h"

namespace dejavu::jinja {

Body Parser::parse_body(const Ends& ends) {
  const Nesting nesting(*this);
  const int line = current().line;
  Body body;
  while (current().kind != TokenKind::kEnd) {
    if (current().kind == TokenKind::kData) {
      const Token data = next();
      body.push_back(std::make_unique<TextStatement>(data.line, data.text));
    } else if (current().kind == TokenKind::kVariableBegin) {
      auto print = std::make_unique<PrintStatement>(next().line);
      print->value = parse_tuple(true);
      expect(TokenKind::kVariableEnd, "'}}'");
      body.push_back(std::move(print));
    } else {
      expect(TokenKind::kBlockBegin, "a tag");
      if (current().kind != TokenKind::kName) fail("a statement's name expected after '{%'");
      if (std::find(ends.begin(), ends.end(), current().text) != ends.end()) return body;
      body.push_back(parse_statement());
    }
  }
  if (!ends.empty()) {
    fail_at(line, "a block that opens here is not closed with '" + std::string(ends.back()) + "'");
  }
  return body;
}

std::unique_ptr<const Statement> Parser::parse_statement() {
  const Nesting nesting(*this);
  const std::string name = current().text;
  if (name == "if") return parse_if();
  if (name == "for") return parse_for();
  if (name == "set") return parse_set();
  if (name == "macro") return parse_macro();
  if (name == "call") return parse_call_block();
  if (name == "filter") return parse_filter_block();
  if (name == "with") return parse_with();
  if (name == "generation") return parse_generation();
  if (name == "break") return parse_flow(Flow::kBreak);
  if (name == "continue") return parse_flow(Flow::kContinue);
  fail("the statement '" + name + "' is not supported");
}

void Parser::close_block(std::string_view name) {
  expect_name(name);
  expect(TokenKind::kBlockEnd, "'%}'");
}

std::unique_ptr<const Statement> Parser::parse_if() {
  auto node = std::make_unique<IfStatement>(next().line);
  while (true) {
    ExpressionPtr condition = parse_tuple(false);
    expect(TokenKind::kBlockEnd, "'%}'");
    node->branches.emplace_back(std::move(condition), parse_body({"elif", "else", "endif"}));
    if (!skip_name("elif")) break;
  }
  if (skip_name("else")) {
    expect(TokenKind::kBlockEnd, "'%}'");
    node->branches.emplace_back(nullptr, parse_body({"endif"}));
  }
  close_block("endif");
  return node;
}

std::unique_ptr<const Statement> Parser::parse_for() {
  auto node = std::make_unique<ForStatement>(next().line);
  node->target = parse_target();
  expect_name("in");
  node->items = parse_tuple(false);
  if (skip_name("if")) node->condition = parse_expression();
  if (at_name("recursive")) fail("a recursive 'for' is not supported");
  expect(TokenKind::kBlockEnd, "'%}'");
  ++loops_;
  node->body = parse_body({"else", "endfor"});
  --loops_;
  if (skip_name("else")) {
    expect(TokenKind::kBlockEnd, "'%}'");
    node->otherwise = parse_body({"endfor"});
  }
  close_block("endfor");
  return node;
}

std::unique_ptr<const Statement> Parser::parse_set() {
  const int line = next().line;
  Target target = parse_target();
  if (skip_operator("=")) {
    auto node = std::make_unique<SetStatement>(line);
    node->target = std::move(target);
    node->value = parse_tuple(true);
    expect(TokenKind::kBlockEnd, "'%}'");
    return node;
  }
  auto node = std::make_unique<CaptureStatement>(line);
  node->target = std::move(target);
  if (skip_operator("|")) node->filters = parse_filters();
  expect(TokenKind::kBlockEnd, "'%}' or '='");
  node->body = parse_body({"endset"});
  close_block("endset");
  return node;
}

std::unique_ptr<const Statement> Parser::parse_filter_block() {
  auto node = std::make_unique<CaptureStatement>(next().line);
  node->filters = parse_filters();
  expect(TokenKind::kBlockEnd, "'%}'");
  node->body = parse_body({"endfilter"});
  close_block("endfilter");
  return node;
}

std::vector<AppliedFilter> Parser::parse_filters() {
  std::vector<AppliedFilter> filters;
  do {
    filters.push_back(parse_filter());
  } while (skip_operator("|"));
  return filters;
}

Target Parser::parse_target() {
  Target first = parse_single_target();
  if (!at_operator(",")) return first;
  Target tuple;
  tuple.parts.push_back(std::move(first));
  while (skip_operator(",") && (current().kind == TokenKind::kName || at_operator("("))) {
    if (at_name("in")) break;  // after a trailing comma
    tuple.parts.push_back(parse_single_target());
  }
  return tuple;
}

Target Parser::parse_single_target() {
  const Nesting nesting(*this);
  if (skip_operator("(")) {
    Target inner = parse_target();
    expect_operator(")");
    return inner;
  }
  Target target;
  target.name = expect_identifier();
  if (skip_operator(".")) {
    target.attribute = expect_identifier();
    assigned_.insert(target.attribute);  // a macro there is called like a method
  } else {
    assigned_.insert(target.name);
  }
  return target;
}

void Parser::parse_signature(Signature& signature) {
  expect_operator("(");
  while (!skip_operator(")")) {
    signature.parameters.push_back(expect_identifier());
    assigned_.insert(signature.parameters.back());
    if (skip_operator("=")) {
      signature.defaults.push_back(parse_expression());
    } else if (!signature.defaults.empty()) {
      fail("a parameter without a default follows one that has one");
    }
    if (!at_operator(")")) expect_operator(",");
  }
}

Body Parser::parse_macro_body(Signature& signature, std::string_view end) {
  expect(TokenKind::kBlockEnd, "'%}'");
  // `varargs` and `kwargs` exist in a macro that mentions them.
  const std::set<std::string, std::less<>> outside = std::exchange(used_, {});
  const int loops = std::exchange(loops_, 0);
  Body body = parse_body({end});
  loops_ = loops;
  signature.takes_rest = used_.contains("varargs");
  signature.takes_named_rest = used_.contains("kwargs");
  used_.insert(outside.begin(), outside.end());
  close_block(end);
  return body;
}

std::unique_ptr<const Statement> Parser::parse_macro() {
  auto node = std::make_unique<MacroStatement>(next().line);
  node->signature.name = expect_identifier();
  assigned_.insert(node->signature.name);
  assigned_.insert("caller");
  parse_signature(node->signature);
  node->body = parse_macro_body(node->signature, "endmacro");
  return node;
}

std::unique_ptr<const Statement> Parser::parse_call_block() {
  auto node = std::make_unique<CallStatement>(next().line);
  node->signature.name = "caller";
  if (at_operator("(")) parse_signature(node->signature);
  const int line = current().line;
  ExpressionPtr call = parse_expression();
  if (dynamic_cast<const CallExpression*>(call.get()) == nullptr) {
    fail_at(line, "'call' needs a call of a macro");
  }
  node->call.reset(static_cast<const CallExpression*>(call.release()));
  node->body = parse_macro_body(node->signature, "endcall");
  return node;
}

std::unique_ptr<const Statement> Parser::parse_with() {
  auto node = std::make_unique<ScopeStatement>(next().line);
  while (current().kind != TokenKind::kBlockEnd) {
    Target target = parse_single_target();
    expect_operator("=");
    node->variables.emplace_back(std::move(target), parse_expression());
    if (current().kind != TokenKind::kBlockEnd) expect_operator(",");
  }
  expect(TokenKind::kBlockEnd, "'%}'");
  node->body = parse_body({"endwith"});
  close_block("endwith");
  return node;
}

std::unique_ptr<const Statement> Parser::parse_generation() {
  auto node = std::make_unique<ScopeStatement>(next().line);
  expect(TokenKind::kBlockEnd, "'%}'");
  node->body = parse_body({"endgeneration"});
  close_block("endgeneration");
  return node;
}

std::unique_ptr<const Statement> Parser::parse_flow(Flow flow) {
  const Token token = next();
  if (loops_ == 0) fail_at(token.line, "'" + token.text + "' stands outside of a loop");
  expect(TokenKind::kBlockEnd, "'%}'");
  return std::make_unique<FlowStatement>(token.line, flow);
}

}  // namespace dejavu::jinja
