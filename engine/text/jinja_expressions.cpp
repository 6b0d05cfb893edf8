#include "engine/text/jinja_ast.h"
#include "engine/text/jinja_methods.h"
#include "engine/text/jinja_text.h"

namespace dejavu::jinja {
namespace {

Value call_value(Interpreter& interpreter, const Value& function, const Args& args) {
  function.require_defined();
  const Object* object = function.object();
  if (object == nullptr || !object->callable()) {
    throw TemplateError("'" + function.type_name() + "' object cannot be called");
  }
  return object->call(interpreter, args);
}

Value evaluate_or_none(const ExpressionPtr& e, Interpreter& interpreter) {
  return e == nullptr ? Value() : e->evaluate(interpreter);
}

}  // namespace

Value Expression::evaluate(Interpreter& interpreter) const {
  const Interpreter::DepthGuard guard(interpreter);
  interpreter.step(line_);
  return compute(interpreter);
}

Args Arguments::evaluate(Interpreter& interpreter) const {
  Args args;
  for (const auto& e : positional) args.positional.push_back(e->evaluate(interpreter));
  for (const auto& [name, e] : named) args.named.emplace_back(name, e->evaluate(interpreter));
  return args;
}

Value ListExpression::compute(Interpreter& interpreter) const {
  std::vector<Value> values;
  values.reserve(items.size());
  for (const auto& e : items) values.push_back(e->evaluate(interpreter));
  return Value::list(std::move(values), kind);
}

Value DictExpression::compute(Interpreter& interpreter) const {
  auto dict = std::make_shared<Dict>();
  for (const auto& [key, value] : items) {
    const Value k = key->evaluate(interpreter);
    dict->set(k, value->evaluate(interpreter));
  }
  return Value::DictPtr(std::move(dict));
}

Value AttributeExpression::compute(Interpreter& interpreter) const {
  return get_attribute(object->evaluate(interpreter), name);
}

Value ItemExpression::compute(Interpreter& interpreter) const {
  const Value container = object->evaluate(interpreter);
  return get_item(container, key->evaluate(interpreter));
}

Value SliceExpression::compute(Interpreter& interpreter) const {
  const Value container = object->evaluate(interpreter);
  const Value from = evaluate_or_none(start, interpreter);
  const Value to = evaluate_or_none(stop, interpreter);
  const Value by = evaluate_or_none(step, interpreter);
  if (container.text() != nullptr || container.list() != nullptr) {
    interpreter.charge(static_cast<std::size_t>(length(container)));
  }
  return get_slice(container, from, to, by);
}

Value CallExpression::compute(Interpreter& interpreter) const {
  const Value callee = function->evaluate(interpreter);
  return call_value(interpreter, callee, arguments.evaluate(interpreter));
}

Value MethodExpression::compute(Interpreter& interpreter) const {
  const Value receiver = object->evaluate(interpreter);
  const Args args = arguments.evaluate(interpreter);
  return has_method(receiver, name) ? call_method(interpreter, receiver, name, args)
                                    : call_value(interpreter, get_attribute(receiver, name), args);
}

Value FilterExpression::compute(Interpreter& interpreter) const {
  const Value value = input->evaluate(interpreter);
  return filter(interpreter, value, arguments.evaluate(interpreter));
}

Value TestExpression::compute(Interpreter& interpreter) const {
  const Value value = input->evaluate(interpreter);
  return test(value, arguments.evaluate(interpreter)) != negated;
}

Value UnaryExpression::compute(Interpreter& interpreter) const {
  return apply(op, operand->evaluate(interpreter));
}

Value BinaryExpression::compute(Interpreter& interpreter) const {
  const Value a = left->evaluate(interpreter);
  return apply(interpreter, op, a, right->evaluate(interpreter));
}

Value ConcatExpression::compute(Interpreter& interpreter) const {
  std::string text;
  for (const auto& part : parts) interpreter.write(text, to_text(part->evaluate(interpreter)));
  return text;
}

Value CompareExpression::compute(Interpreter& interpreter) const {
  Value left = first->evaluate(interpreter);
  for (const auto& [op, e] : rest) {
    Value right = e->evaluate(interpreter);
    if (!compare(op, left, right)) return false;
    left = std::move(right);
  }
  return true;
}

Value LogicExpression::compute(Interpreter& interpreter) const {
  Value first = left->evaluate(interpreter);
  return first.truthy() == is_and ? right->evaluate(interpreter) : first;
}

Value ConditionalExpression::compute(Interpreter& interpreter) const {
  if (condition->evaluate(interpreter).truthy()) return then->evaluate(interpreter);
  if (otherwise != nullptr) return otherwise->evaluate(interpreter);
  return Value::undefined("the inline if-expression evaluated to false and no else is given");
}

}  // namespace dejavu::jinja
