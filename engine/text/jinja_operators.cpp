// Python's operators on template values.
#include <cmath>

#include "engine/text/jinja_ast.h"

namespace dejavu::jinja {
namespace {

constexpr std::string_view kSymbols[] = {"+", "-", "*", "/", "//", "%", "**"};

[[noreturn]] void fail_types(BinaryOp op, const Value& a, const Value& b) {
  a.require_defined();
  b.require_defined();
  throw TemplateError("'" + std::string(kSymbols[static_cast<std::size_t>(op)]) +
                      "' does not work on '" + a.type_name() + "' and '" + b.type_name() + "'");
}

[[noreturn]] void fail_overflow() { throw TemplateError("a whole number does not fit in 64 bits"); }

std::int64_t floor_divide(std::int64_t a, std::int64_t b) {
  if (b == -1) {
    std::int64_t negated = 0;
    if (__builtin_sub_overflow(std::int64_t{0}, a, &negated)) fail_overflow();
    return negated;
  }
  const std::int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

double floor_modulo(double a, double b) {
  const double rest = std::fmod(a, b);
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

std::int64_t integer_power(std::int64_t base, std::int64_t exponent) {
  std::int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) fail_overflow();
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) fail_overflow();
  }
  return result;
}

Value apply_integers(BinaryOp op, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  bool overflow = false;
  switch (op) {
    case BinaryOp::kAdd:
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case BinaryOp::kSubtract:
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case BinaryOp::kMultiply:
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    case BinaryOp::kDivide:
      return static_cast<double>(a) / static_cast<double>(b);
    case BinaryOp::kFloorDivide:
      return floor_divide(a, b);
    case BinaryOp::kModulo:
      return b == -1 ? 0 : a - floor_divide(a, b) * b;
    case BinaryOp::kPower:
      if (b < 0) return std::pow(static_cast<double>(a), static_cast<double>(b));
      return integer_power(a, b);
  }
  if (overflow) fail_overflow();
  return result;
}

Value apply_floats(BinaryOp op, double a, double b) {
  switch (op) {
    case BinaryOp::kAdd:
      return a + b;
    case BinaryOp::kSubtract:
      return a - b;
    case BinaryOp::kMultiply:
      return a * b;
    case BinaryOp::kDivide:
      return a / b;
    case BinaryOp::kFloorDivide:
      return std::floor(a / b);
    case BinaryOp::kModulo:
      return floor_modulo(a, b);
    case BinaryOp::kPower:
      break;
  }
  return std::pow(a, b);
}

Value repeat(Interpreter& interpreter, const Value& value, std::int64_t times) {
  const auto count = static_cast<std::size_t>(times < 0 ? 0 : times);
  if (const std::string* s = value.text()) {
    std::string out;
    for (std::size_t i = 0; i < count && !s->empty(); ++i) interpreter.write(out, *s);
    return out;
  }
  const List& list = *value.list();
  std::vector<Value> items;
  for (std::size_t i = 0; i < count && !list.items.empty(); ++i) {
    interpreter.charge(list.items.size());
    items.insert(items.end(), list.items.begin(), list.items.end());
  }
  return Value::list(std::move(items), list.kind);
}

bool is_sequence(const Value& v) {
  return v.text() != nullptr || (v.list() != nullptr && v.list()->kind <= ListKind::kTuple);
}

Value join_lists(Interpreter& interpreter, const List& a, const List& b) {
  interpreter.charge(a.items.size() + b.items.size());
  std::vector<Value> items = a.items;
  items.insert(items.end(), b.items.begin(), b.items.end());
  return Value::list(std::move(items), a.kind);
}

}  // namespace

Value apply(Interpreter& interpreter, BinaryOp op, const Value& a, const Value& b) {
  const auto na = a.number();
  const auto nb = b.number();
  if (na && nb) {
    const bool divides =
        op == BinaryOp::kDivide || op == BinaryOp::kFloorDivide || op == BinaryOp::kModulo;
    if (divides && *nb == 0) throw TemplateError("division by zero");
    const auto ia = a.integer();
    const auto ib = b.integer();
    return ia && ib ? apply_integers(op, *ia, *ib) : apply_floats(op, *na, *nb);
  }
  if (op == BinaryOp::kAdd && a.text() != nullptr && b.text() != nullptr) {
    std::string out;
    interpreter.write(out, *a.text());
    interpreter.write(out, *b.text());
    return out;
  }
  if (op == BinaryOp::kAdd && is_sequence(a) && is_sequence(b) && a.list() != nullptr &&
      b.list() != nullptr && a.list()->kind == b.list()->kind) {
    return join_lists(interpreter, *a.list(), *b.list());
  }
  if (op == BinaryOp::kMultiply && is_sequence(a) && b.integer()) {
    return repeat(interpreter, a, *b.integer());
  }
  if (op == BinaryOp::kMultiply && is_sequence(b) && a.integer()) {
    return repeat(interpreter, b, *a.integer());
  }
  fail_types(op, a, b);
}

Value apply(UnaryOp op, const Value& v) {
  if (op == UnaryOp::kNot) return !v.truthy();
  v.require_defined();
  if (const auto i = v.integer()) {
    return op == UnaryOp::kPlus ? Value(*i) : apply_integers(BinaryOp::kSubtract, 0, *i);
  }
  const auto number = v.number();
  if (!number) throw TemplateError("a sign does not work on '" + v.type_name() + "'");
  return op == UnaryOp::kPlus ? *number : -*number;
}

bool compare(CompareOp op, const Value& a, const Value& b) {
  switch (op) {
    case CompareOp::kEqual:
      return equals(a, b);
    case CompareOp::kNotEqual:
      return !equals(a, b);
    case CompareOp::kLess:
      return less(a, b);
    case CompareOp::kLessEqual:
      return less(a, b) || equals(a, b);
    case CompareOp::kGreater:
      return less(b, a);
    case CompareOp::kGreaterEqual:
      return less(b, a) || equals(a, b);
    case CompareOp::kIn:
      return contains(b, a);
    case CompareOp::kNotIn:
      break;
  }
  return !contains(b, a);
}

}  // namespace dejavu::jinja
