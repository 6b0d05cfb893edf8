// From tokens to the compiled form. Whatever is not supported (statements, filters, tests,
// functions, methods) is found here, with its line, and not when the template is rendered.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/text/jinja_ast.h"
#include "engine/text/jinja_lexer.h"

namespace dejavu::jinja {

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}
  Body parse();  // throws TemplateError

 private:
  // Bounds recursion: while parsing, and of the tree when it is evaluated and destroyed.
  class Nesting {
   public:
    explicit Nesting(Parser& parser);
    ~Nesting() { --parser_.nesting_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    Parser& parser_;
  };

  // Tokens.
  const Token& current() const { return tokens_[position_]; }
  const Token& ahead() const;
  Token next() { return tokens_[position_ + 1 < tokens_.size() ? position_++ : position_]; }
  bool at_operator(std::string_view op) const;
  bool at_name(std::string_view name) const;
  bool skip_operator(std::string_view op);
  bool skip_name(std::string_view name);
  void expect_operator(std::string_view op);
  void expect_name(std::string_view name);
  void expect(TokenKind kind, std::string_view what);
  std::string expect_identifier();
  [[noreturn]] void fail(const std::string& what) const;
  [[noreturn]] void fail_at(int line, const std::string& what) const;
  void count_link(int& links) const;  // of a chain of operators, which is as deep a tree

  // Statements: jinja_parse_statement.cpp.
  using Ends = std::vector<std::string_view>;
  Body parse_body(const Ends& ends);  // stops behind "{%" and before the name that ends it
  std::unique_ptr<const Statement> parse_statement();
  std::unique_ptr<const Statement> parse_if();
  std::unique_ptr<const Statement> parse_for();
  std::unique_ptr<const Statement> parse_set();
  std::unique_ptr<const Statement> parse_macro();
  std::unique_ptr<const Statement> parse_call_block();
  std::unique_ptr<const Statement> parse_filter_block();
  std::unique_ptr<const Statement> parse_with();
  std::unique_ptr<const Statement> parse_generation();
  std::unique_ptr<const Statement> parse_flow(Flow flow);
  void close_block(std::string_view name);
  Target parse_target();
  Target parse_single_target();
  void parse_signature(Signature& signature);
  Body parse_macro_body(Signature& signature, std::string_view end);
  std::vector<AppliedFilter> parse_filters();
  void check_called_names() const;

  // Expressions: jinja_parse_expression.cpp.
  ExpressionPtr parse_expression() { return parse_conditional(); }
  ExpressionPtr parse_conditional();
  ExpressionPtr parse_or();
  ExpressionPtr parse_and();
  ExpressionPtr parse_not();
  ExpressionPtr parse_compare();
  ExpressionPtr parse_sum();
  ExpressionPtr parse_concat();
  ExpressionPtr parse_product();
  ExpressionPtr parse_power();
  ExpressionPtr parse_unary(bool with_filters);
  ExpressionPtr parse_primary();
  ExpressionPtr parse_postfix(ExpressionPtr node);
  ExpressionPtr parse_filters_and_tests(ExpressionPtr node);
  ExpressionPtr parse_dot(ExpressionPtr object);
  ExpressionPtr parse_subscript(ExpressionPtr object);
  ExpressionPtr parse_call(ExpressionPtr function);
  ExpressionPtr parse_test(ExpressionPtr input);
  ExpressionPtr parse_tuple(bool with_conditional);
  ExpressionPtr parse_parenthesised();
  ExpressionPtr parse_list();
  ExpressionPtr parse_dict();
  Arguments parse_arguments();
  AppliedFilter parse_filter();
  void check_named_builtin(std::string_view filter, const Arguments& arguments) const;

  std::vector<Token> tokens_;
  std::size_t position_ = 0;
  int nesting_ = 0;
  int loops_ = 0;  // open around the position: break and continue need one
  std::set<std::string, std::less<>> assigned_;
  std::vector<std::pair<std::string, int>> called_;  // names called as functions, and lines
  std::vector<std::pair<std::string, int>> called_methods_;
  std::set<std::string, std::less<>> used_;
};

}  // namespace dejavu::jinja
