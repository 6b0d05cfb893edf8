#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "engine/text/jinja_parser.h"

namespace dejavu::jinja {

ExpressionPtr Parser::parse_conditional() {
  const Nesting nesting(*this);
  ExpressionPtr value = parse_or();
  int links = 0;
  while (at_name("if")) {
    count_link(links);
    auto node = std::make_unique<ConditionalExpression>(next().line);
    node->then = std::move(value);
    node->condition = parse_or();
    if (skip_name("else")) node->otherwise = parse_conditional();
    value = std::move(node);
  }
  return value;
}

ExpressionPtr Parser::parse_or() {
  ExpressionPtr left = parse_and();
  for (int links = 0; at_name("or"); count_link(links)) {
    auto node = std::make_unique<LogicExpression>(next().line);
    node->left = std::move(left);
    node->right = parse_and();
    left = std::move(node);
  }
  return left;
}

ExpressionPtr Parser::parse_and() {
  ExpressionPtr left = parse_not();
  for (int links = 0; at_name("and"); count_link(links)) {
    auto node = std::make_unique<LogicExpression>(next().line);
    node->is_and = true;
    node->left = std::move(left);
    node->right = parse_not();
    left = std::move(node);
  }
  return left;
}

ExpressionPtr Parser::parse_not() {
  if (!at_name("not")) return parse_compare();
  const Nesting nesting(*this);
  auto node = std::make_unique<UnaryExpression>(next().line);
  node->operand = parse_not();
  return node;
}

ExpressionPtr Parser::parse_compare() {
  constexpr std::pair<std::string_view, CompareOp> kOperators[] = {
      {"==", CompareOp::kEqual},  {"!=", CompareOp::kNotEqual},
      {"<", CompareOp::kLess},    {"<=", CompareOp::kLessEqual},
      {">", CompareOp::kGreater}, {">=", CompareOp::kGreaterEqual}};
  auto node = std::make_unique<CompareExpression>(current().line);
  node->first = parse_sum();
  while (true) {
    const auto* op = std::find_if(std::begin(kOperators), std::end(kOperators),
                                  [this](const auto& o) { return at_operator(o.first); });
    if (op != std::end(kOperators)) {
      next();
      node->rest.emplace_back(op->second, parse_sum());
    } else if (skip_name("in")) {
      node->rest.emplace_back(CompareOp::kIn, parse_sum());
    } else if (at_name("not") && ahead().kind == TokenKind::kName && ahead().text == "in") {
      next();
      next();
      node->rest.emplace_back(CompareOp::kNotIn, parse_sum());
    } else {
      break;
    }
  }
  if (node->rest.empty()) return std::move(node->first);
  return node;
}

ExpressionPtr Parser::parse_sum() {
  ExpressionPtr left = parse_concat();
  for (int links = 0; at_operator("+") || at_operator("-"); count_link(links)) {
    const Token op = next();
    auto node = std::make_unique<BinaryExpression>(op.line);
    node->op = op.text == "+" ? BinaryOp::kAdd : BinaryOp::kSubtract;
    node->left = std::move(left);
    node->right = parse_concat();
    left = std::move(node);
  }
  return left;
}

ExpressionPtr Parser::parse_concat() {
  const int line = current().line;
  ExpressionPtr first = parse_product();
  if (!at_operator("~")) return first;
  auto node = std::make_unique<ConcatExpression>(line);
  node->parts.push_back(std::move(first));
  while (skip_operator("~")) node->parts.push_back(parse_product());
  return node;
}

ExpressionPtr Parser::parse_product() {
  constexpr std::pair<std::string_view, BinaryOp> kOperators[] = {{"*", BinaryOp::kMultiply},
                                                                  {"/", BinaryOp::kDivide},
                                                                  {"//", BinaryOp::kFloorDivide},
                                                                  {"%", BinaryOp::kModulo}};
  ExpressionPtr left = parse_power();
  for (int links = 0;; count_link(links)) {
    const auto* op = std::find_if(std::begin(kOperators), std::end(kOperators),
                                  [this](const auto& o) { return at_operator(o.first); });
    if (op == std::end(kOperators)) return left;
    auto node = std::make_unique<BinaryExpression>(next().line);
    node->op = op->second;
    node->left = std::move(left);
    node->right = parse_power();
    left = std::move(node);
  }
}

ExpressionPtr Parser::parse_power() {
  ExpressionPtr left = parse_unary(true);
  for (int links = 0; at_operator("**"); count_link(links)) {
    auto node = std::make_unique<BinaryExpression>(next().line);
    node->op = BinaryOp::kPower;
    node->left = std::move(left);
    node->right = parse_unary(true);
    left = std::move(node);
  }
  return left;
}

ExpressionPtr Parser::parse_unary(bool with_filters) {
  const Nesting nesting(*this);
  ExpressionPtr value;
  if (at_operator("-") || at_operator("+")) {
    const Token op = next();
    auto node = std::make_unique<UnaryExpression>(op.line);
    node->op = op.text == "-" ? UnaryOp::kNegate : UnaryOp::kPlus;
    node->operand = parse_unary(false);
    value = std::move(node);
  } else {
    value = parse_primary();
  }
  value = parse_postfix(std::move(value));
  return with_filters ? parse_filters_and_tests(std::move(value)) : std::move(value);
}

ExpressionPtr Parser::parse_primary() {
  const int line = current().line;
  if (current().kind == TokenKind::kName) {
    const std::string name = next().text;
    if (name == "true" || name == "True") return std::make_unique<LiteralExpression>(line, true);
    if (name == "false" || name == "False") return std::make_unique<LiteralExpression>(line, false);
    if (name == "none" || name == "None") return std::make_unique<LiteralExpression>(line, Value());
    used_.insert(name);
    return std::make_unique<NameExpression>(line, name);
  }
  if (current().kind == TokenKind::kString) {
    std::string text;
    while (current().kind == TokenKind::kString) text += next().text;
    return std::make_unique<LiteralExpression>(line, Value(std::move(text)));
  }
  if (current().kind == TokenKind::kInteger) {
    const std::string digits = next().text;
    std::int64_t value = 0;
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (result.ec != std::errc()) fail_at(line, "the number " + digits + " is too large");
    return std::make_unique<LiteralExpression>(line, Value(value));
  }
  if (current().kind == TokenKind::kFloat) {
    return std::make_unique<LiteralExpression>(line,
                                               Value(std::strtod(next().text.c_str(), nullptr)));
  }
  if (at_operator("(")) return parse_parenthesised();
  if (at_operator("[")) return parse_list();
  if (at_operator("{")) return parse_dict();
  fail("an expression expected");
}

// a, b, c: a tuple, or one value without a comma.
ExpressionPtr Parser::parse_tuple(bool with_conditional) {
  const auto item = [&] { return with_conditional ? parse_expression() : parse_or(); };
  const auto at_end = [this] {
    return current().kind == TokenKind::kVariableEnd || current().kind == TokenKind::kBlockEnd ||
           at_operator(")");
  };
  const int line = current().line;
  ExpressionPtr first = item();
  if (!at_operator(",")) return first;
  auto tuple = std::make_unique<ListExpression>(line, ListKind::kTuple);
  tuple->items.push_back(std::move(first));
  while (skip_operator(",") && !at_end()) tuple->items.push_back(item());
  return tuple;
}

ExpressionPtr Parser::parse_parenthesised() {
  const Nesting nesting(*this);
  const int line = next().line;
  if (skip_operator(")")) return std::make_unique<ListExpression>(line, ListKind::kTuple);
  ExpressionPtr inner = parse_tuple(true);
  expect_operator(")");
  return inner;
}

ExpressionPtr Parser::parse_list() {
  auto node = std::make_unique<ListExpression>(next().line, ListKind::kList);
  while (!skip_operator("]")) {
    node->items.push_back(parse_expression());
    if (!at_operator("]")) expect_operator(",");
  }
  return node;
}

ExpressionPtr Parser::parse_dict() {
  auto node = std::make_unique<DictExpression>(next().line);
  while (!skip_operator("}")) {
    ExpressionPtr key = parse_expression();
    expect_operator(":");
    node->items.emplace_back(std::move(key), parse_expression());
    if (!at_operator("}")) expect_operator(",");
  }
  return node;
}

ExpressionPtr Parser::parse_postfix(ExpressionPtr node) {
  for (int links = 0;; count_link(links)) {
    if (skip_operator(".")) {
      node = parse_dot(std::move(node));
    } else if (at_operator("[")) {
      node = parse_subscript(std::move(node));
    } else if (at_operator("(")) {
      node = parse_call(std::move(node));
    } else {
      return node;
    }
  }
}

ExpressionPtr Parser::parse_dot(ExpressionPtr object) {
  const Token name = next();
  if (name.kind == TokenKind::kInteger) {
    auto item = std::make_unique<ItemExpression>(name.line);
    item->object = std::move(object);
    item->key = std::make_unique<LiteralExpression>(
        name.line, Value(std::int64_t{std::strtoll(name.text.c_str(), nullptr, 10)}));
    return item;
  }
  if (name.kind != TokenKind::kName) fail_at(name.line, "a name expected after '.'");
  if (!at_operator("(")) {
    auto node = std::make_unique<AttributeExpression>(name.line);
    node->object = std::move(object);
    node->name = name.text;
    return node;
  }
  called_methods_.emplace_back(name.text, name.line);
  auto node = std::make_unique<MethodExpression>(name.line);
  node->object = std::move(object);
  node->name = name.text;
  node->arguments = parse_arguments();
  return node;
}

ExpressionPtr Parser::parse_subscript(ExpressionPtr object) {
  const int line = next().line;
  ExpressionPtr start;
  if (!at_operator(":")) start = parse_expression();
  if (skip_operator("]")) {
    auto item = std::make_unique<ItemExpression>(line);
    item->object = std::move(object);
    item->key = std::move(start);
    return item;
  }
  auto slice = std::make_unique<SliceExpression>(line);
  slice->object = std::move(object);
  slice->start = std::move(start);
  expect_operator(":");
  if (!at_operator(":") && !at_operator("]")) slice->stop = parse_expression();
  if (skip_operator(":") && !at_operator("]")) slice->step = parse_expression();
  expect_operator("]");
  return slice;
}

ExpressionPtr Parser::parse_call(ExpressionPtr function) {
  auto node = std::make_unique<CallExpression>(current().line);
  if (const auto* name = dynamic_cast<const NameExpression*>(function.get())) {
    called_.emplace_back(name->name, name->line());
  }
  node->function = std::move(function);
  node->arguments = parse_arguments();
  return node;
}

Arguments Parser::parse_arguments() {
  Arguments arguments;
  expect_operator("(");
  while (!skip_operator(")")) {
    if (at_operator("*") || at_operator("**")) fail("'*' before an argument is not supported");
    const bool named = current().kind == TokenKind::kName && ahead().kind == TokenKind::kOperator &&
                       ahead().text == "=";
    if (named) {
      std::string name = next().text;
      next();
      arguments.named.emplace_back(std::move(name), parse_expression());
    } else if (!arguments.named.empty()) {
      fail("a positional argument follows a named one");
    } else {
      arguments.positional.push_back(parse_expression());
    }
    if (!at_operator(")")) expect_operator(",");
  }
  return arguments;
}

ExpressionPtr Parser::parse_filters_and_tests(ExpressionPtr node) {
  for (int links = 0;; count_link(links)) {
    if (at_operator("|")) {
      auto filter = std::make_unique<FilterExpression>(next().line);
      AppliedFilter applied = parse_filter();
      filter->input = std::move(node);
      filter->filter = applied.filter;
      filter->arguments = std::move(applied.arguments);
      node = std::move(filter);
    } else if (at_name("is")) {
      node = parse_test(std::move(node));
    } else if (at_operator("(")) {
      node = parse_call(std::move(node));
    } else {
      return node;
    }
  }
}

AppliedFilter Parser::parse_filter() {
  const int line = current().line;
  const std::string name = expect_identifier();
  AppliedFilter applied;
  applied.filter = find_filter(name);
  if (applied.filter == nullptr) fail_at(line, "the filter '" + name + "' is not supported");
  if (at_operator("(")) applied.arguments = parse_arguments();
  check_named_builtin(name, applied.arguments);
  return applied;
}

// map("upper") and select("string") name a filter or a test themselves.
void Parser::check_named_builtin(std::string_view filter, const Arguments& arguments) const {
  const bool by_attribute = filter == "selectattr" || filter == "rejectattr";
  const bool by_test = by_attribute || filter == "select" || filter == "reject";
  const std::size_t at = by_attribute ? 1 : 0;
  if ((!by_test && filter != "map") || arguments.positional.size() <= at) return;
  const auto* name = dynamic_cast<const LiteralExpression*>(arguments.positional[at].get());
  if (name == nullptr || name->value.text() == nullptr) return;
  const std::string& text = *name->value.text();
  if (by_test ? find_test(text) == nullptr : find_filter(text) == nullptr) {
    fail_at(name->line(),
            std::string("the ") + (by_test ? "test '" : "filter '") + text + "' is not supported");
  }
}

ExpressionPtr Parser::parse_test(ExpressionPtr input) {
  auto node = std::make_unique<TestExpression>(next().line);
  node->input = std::move(input);
  node->negated = skip_name("not");
  const std::string name = expect_identifier();
  node->test = find_test(name);
  if (node->test == nullptr) fail_at(node->line(), "the test '" + name + "' is not supported");
  constexpr std::string_view kNoArgument[] = {"else", "or", "and", "is", "if", "not", "in"};
  const bool name_follows = current().kind == TokenKind::kName &&
                            std::find(std::begin(kNoArgument), std::end(kNoArgument),
                                      current().text) == std::end(kNoArgument);
  const bool literal_follows =
      current().kind == TokenKind::kString || current().kind == TokenKind::kInteger ||
      current().kind == TokenKind::kFloat || at_operator("[") || at_operator("{");
  if (at_operator("(")) {
    node->arguments = parse_arguments();
  } else if (name_follows || literal_follows) {
    node->arguments.positional.push_back(parse_postfix(parse_primary()));
  }
  return node;
}

}  // namespace dejavu::jinja
