// The compiled form of a chat template: nodes that evaluate or render themselves.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/text/jinja_builtins.h"
#include "engine/text/jinja_interpreter.h"
#include "engine/text/jinja_value.h"

namespace dejavu::jinja {

class Expression {
 public:
  explicit Expression(int line) : line_(line) {}
  virtual ~Expression() = default;
  Value evaluate(Interpreter& interpreter) const;
  int line() const { return line_; }

 private:
  virtual Value compute(Interpreter& interpreter) const = 0;
  int line_;
};

using ExpressionPtr = std::unique_ptr<const Expression>;

struct Arguments {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;

  Args evaluate(Interpreter& interpreter) const;
};

enum class BinaryOp { kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower };
enum class CompareOp { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kIn, kNotIn };
enum class UnaryOp { kNot, kNegate, kPlus };

Value apply(Interpreter& interpreter, BinaryOp op, const Value& a, const Value& b);
Value apply(UnaryOp op, const Value& v);
bool compare(CompareOp op, const Value& a, const Value& b);

// Expressions, in the order of jinja_expressions.cpp.
struct LiteralExpression final : Expression {
  LiteralExpression(int line, Value v) : Expression(line), value(std::move(v)) {}
  Value compute(Interpreter&) const override { return value; }
  Value value;
};

struct NameExpression final : Expression {
  NameExpression(int line, std::string n) : Expression(line), name(std::move(n)) {}
  Value compute(Interpreter& interpreter) const override { return interpreter.lookup(name); }
  std::string name;
};

struct ListExpression final : Expression {
  ListExpression(int line, ListKind k) : Expression(line), kind(k) {}
  Value compute(Interpreter& interpreter) const override;
  ListKind kind;
  std::vector<ExpressionPtr> items;
};

struct DictExpression final : Expression {
  using Expression::Expression;
  Value compute(Interpreter& interpreter) const override;
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> items;
};

struct AttributeExpression final : Expression {
  using Expression::Expression;
  Value compute(Interpreter& interpreter) const override;
  ExpressionPtr object;
  std::string name;
};

struct ItemExpression final : Expression {
  using Expression::Expression;
  Value compute(Interpreter& interpreter) const override;
  ExpressionPtr object;
  ExpressionPtr key;
};

struct SliceExpression final : Expression {
  using Expression::Expression;
  Value compute(Interpreter& interpreter) const override;
  ExpressionPtr object;
  ExpressionPtr start;  // null: not given
  ExpressionPtr stop;
  ExpressionPtr step;
};

struct CallExpression final : Expression {
  using Expression::Expression;
  Value compute(Interpreter& interpreter) const override;
  ExpressionPtr function;
  Arguments arguments;
};

// x.name(...), without making the method a value.
struct MethodExpression final : Expression {
  using Expression::Expression;
  Value compute(Interpreter& interpreter) const override;
  ExpressionPtr object;
  std::string name;
  Arguments arguments;
};

struct FilterExpression final : Expression {
  using Expression::Expression;
  Value compute(Interpreter& interpreter) const override;
  ExpressionPtr input;
  Filter filter = nullptr;
  Arguments arguments;
};

struct TestExpression final : Expression {
  using Expression::Expression;
  Value compute(Interpreter& interpreter) const override;
  ExpressionPtr input;
  Test test = nullptr;
  Arguments arguments;
  bool negated = false;
};

struct UnaryExpression final : Expression {
  using Expression::Expression;
  Value compute(Interpreter& interpreter) const override;
  UnaryOp op = UnaryOp::kNot;
  ExpressionPtr operand;
};

struct BinaryExpression final : Expression {
  using Expression::Expression;
  Value compute(Interpreter& interpreter) const override;
  BinaryOp op = BinaryOp::kAdd;
  ExpressionPtr left;
  ExpressionPtr right;
};

struct ConcatExpression final : Expression {
  using Expression::Expression;
  Value compute(Interpreter& interpreter) const override;
  std::vector<ExpressionPtr> parts;
};

struct CompareExpression final : Expression {
  using Expression::Expression;
  Value compute(Interpreter& interpreter) const override;
  ExpressionPtr first;
  std::vector<std::pair<CompareOp, ExpressionPtr>> rest;
};

struct LogicExpression final : Expression {
  using Expression::Expression;
  Value compute(Interpreter& interpreter) const override;
  bool is_and = false;
  ExpressionPtr left;
  ExpressionPtr right;
};

struct ConditionalExpression final : Expression {
  using Expression::Expression;
  Value compute(Interpreter& interpreter) const override;
  ExpressionPtr condition;
  ExpressionPtr then;
  ExpressionPtr otherwise;  // null: undefined
};

// Statements, in the order of jinja_statements.cpp.
enum class Flow { kNormal, kBreak, kContinue };

class Statement {
 public:
  explicit Statement(int line) : line_(line) {}
  virtual ~Statement() = default;
  Flow render(Interpreter& interpreter, std::string& out) const;
  int line() const { return line_; }

 private:
  virtual Flow run(Interpreter& interpreter, std::string& out) const = 0;
  int line_;
};

using Body = std::vector<std::unique_ptr<const Statement>>;
Flow render_body(const Body& body, Interpreter& interpreter, std::string& out);

// A name, an attribute of a namespace, or a tuple of targets.
struct Target {
  std::string name;
  std::string attribute;
  std::vector<Target> parts;

  void assign(Interpreter& interpreter, const Value& value) const;
};

struct TextStatement final : Statement {
  TextStatement(int line, std::string t) : Statement(line), text(std::move(t)) {}
  Flow run(Interpreter& interpreter, std::string& out) const override;
  std::string text;
};

struct PrintStatement final : Statement {
  using Statement::Statement;
  Flow run(Interpreter& interpreter, std::string& out) const override;
  ExpressionPtr value;
};

struct IfStatement final : Statement {
  using Statement::Statement;
  Flow run(Interpreter& interpreter, std::string& out) const override;
  std::vector<std::pair<ExpressionPtr, Body>> branches;  // the condition of "else" is null
};

struct ForStatement final : Statement {
  using Statement::Statement;
  Flow run(Interpreter& interpreter, std::string& out) const override;
  std::vector<Value> chosen_items(Interpreter& interpreter) const;
  Target target;
  ExpressionPtr items;
  ExpressionPtr condition;  // null: all items
  Body body;
  Body otherwise;
};

struct SetStatement final : Statement {
  using Statement::Statement;
  Flow run(Interpreter& interpreter, std::string& out) const override;
  Target target;
  ExpressionPtr value;
};

struct AppliedFilter {
  Filter filter = nullptr;
  Arguments arguments;
};

// {% set x %}…{% endset %}, and {% filter f %}…{% endfilter %} (no target).
struct CaptureStatement final : Statement {
  using Statement::Statement;
  Flow run(Interpreter& interpreter, std::string& out) const override;
  std::optional<Target> target;
  std::vector<AppliedFilter> filters;
  Body body;
};

struct Signature {
  std::string name;
  std::vector<std::string> parameters;
  std::vector<ExpressionPtr> defaults;  // of the last parameters
  bool takes_rest = false;              // uses `varargs`
  bool takes_named_rest = false;        // uses `kwargs`
};

struct MacroStatement final : Statement {
  using Statement::Statement;
  Flow run(Interpreter& interpreter, std::string& out) const override;
  Signature signature;
  Body body;
};

// {% call(…) f(…) %}…{% endcall %}: the body is f's caller().
struct CallStatement final : Statement {
  using Statement::Statement;
  Flow run(Interpreter& interpreter, std::string& out) const override;
  Signature signature;
  std::unique_ptr<const CallExpression> call;
  Body body;
};

// {% with %} and {% generation %}: a scope of its own.
struct ScopeStatement final : Statement {
  using Statement::Statement;
  Flow run(Interpreter& interpreter, std::string& out) const override;
  std::vector<std::pair<Target, ExpressionPtr>> variables;
  Body body;
};

struct FlowStatement final : Statement {
  FlowStatement(int line, Flow f) : Statement(line), flow(f) {}
  Flow run(Interpreter&, std::string&) const override { return flow; }
  Flow flow;
};

}  // namespace dejavu::jinja
