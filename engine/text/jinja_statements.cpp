#include <algorithm>

#include "engine/text/jinja_ast.h"
#include "engine/text/jinja_functions.h"
#include "engine/text/jinja_loop.h"
#include "engine/text/jinja_text.h"

namespace dejavu::jinja {
namespace {

// A macro or a caller(): renders its body where it was defined.
class Macro final : public Object {
 public:
  Macro(const Signature& signature, const Body& body, const std::shared_ptr<Scope>& scope)
      : signature_(signature), body_(body), scope_(scope) {}

  std::string describe() const override { return "<Macro '" + signature_.name + "'>"; }
  bool callable() const override { return true; }

  Value call(Interpreter& interpreter, const Args& args) const override {
    const std::shared_ptr<Scope> defined_in = scope_.lock();
    const Interpreter::ScopeGuard guard(interpreter, defined_in);
    bind_parameters(interpreter, args);
    std::string out;
    render_body(body_, interpreter, out);
    return out;
  }

 private:
  void bind_parameters(Interpreter& interpreter, const Args& args) const {
    const std::vector<std::string>& names = signature_.parameters;
    std::vector<Value> rest;
    for (std::size_t i = 0; i < args.positional.size(); ++i) {
      if (i < names.size()) {
        interpreter.assign(names[i], args.positional[i]);
      } else {
        rest.push_back(args.positional[i]);
      }
    }
    if (!rest.empty() && !signature_.takes_rest) {
      throw TemplateError("macro '" + signature_.name + "' takes not more than " +
                          std::to_string(names.size()) + " argument(s)");
    }
    Dict named_rest;
    std::vector<bool> given(names.size());
    std::fill_n(given.begin(), std::min(names.size(), args.positional.size()), true);
    for (const auto& [name, value] : args.named) {
      const auto at = std::find(names.begin(), names.end(), name);
      if (at != names.end()) {
        const auto index = static_cast<std::size_t>(at - names.begin());
        if (given[index]) {
          throw TemplateError("macro '" + signature_.name + "' got two values for '" + name + "'");
        }
        given[index] = true;
        interpreter.assign(name, value);
      } else if (name == "caller") {
        interpreter.assign(name, value);
      } else {
        named_rest.set(Value(name), value);
      }
    }
    if (!named_rest.entries().empty() && !signature_.takes_named_rest) {
      throw TemplateError("macro '" + signature_.name + "' takes no argument '" +
                          *named_rest.entries()[0].first.text() + "'");
    }
    const std::size_t required = names.size() - signature_.defaults.size();
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (given[i]) continue;
      interpreter.assign(
          names[i], i < required ? Value::undefined("parameter '" + names[i] + "' was not provided")
                                 : signature_.defaults[i - required]->evaluate(interpreter));
    }
    if (signature_.takes_rest) interpreter.assign("varargs", Value::list(rest, ListKind::kTuple));
    if (signature_.takes_named_rest) {
      interpreter.assign("kwargs", Value::DictPtr(std::make_shared<Dict>(named_rest)));
    }
  }

  const Signature& signature_;  // of the compiled template, which outlives the rendering
  const Body& body_;
  std::weak_ptr<Scope> scope_;  // kept by the interpreter
};

Value make_macro(Interpreter& interpreter, const Signature& signature, const Body& body) {
  interpreter.keep(interpreter.scope());
  return Value::ObjectPtr(std::make_shared<Macro>(signature, body, interpreter.scope()));
}

}  // namespace

Flow Statement::render(Interpreter& interpreter, std::string& out) const {
  const Interpreter::DepthGuard guard(interpreter);
  interpreter.step(line_);
  return run(interpreter, out);
}

Flow render_body(const Body& body, Interpreter& interpreter, std::string& out) {
  for (const auto& statement : body) {
    const Flow flow = statement->render(interpreter, out);
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

void Target::assign(Interpreter& interpreter, const Value& value) const {
  if (!attribute.empty()) {
    const Value object = interpreter.lookup(name);
    auto* space = dynamic_cast<Namespace*>(object.object());
    if (space == nullptr) {
      throw TemplateError("cannot assign '" + attribute + "' of '" + name +
                          "': it is not a namespace()");
    }
    space->set(attribute, value);
    return;
  }
  if (parts.empty()) return interpreter.assign(name, value);
  value.require_defined();
  const std::vector<Value> values = iterate(value);
  if (values.size() != parts.size()) {
    throw TemplateError("cannot unpack " + std::to_string(values.size()) + " values into " +
                        std::to_string(parts.size()) + " names");
  }
  for (std::size_t i = 0; i < parts.size(); ++i) parts[i].assign(interpreter, values[i]);
}

Flow TextStatement::run(Interpreter& interpreter, std::string& out) const {
  interpreter.write(out, text);
  return Flow::kNormal;
}

Flow PrintStatement::run(Interpreter& interpreter, std::string& out) const {
  const Value v = value->evaluate(interpreter);
  const std::string* s = v.text();
  if (s != nullptr) {
    interpreter.write(out, *s);
  } else {
    interpreter.write(out, to_text(v));
  }
  return Flow::kNormal;
}

Flow IfStatement::run(Interpreter& interpreter, std::string& out) const {
  for (const auto& [condition, body] : branches) {
    if (condition == nullptr || condition->evaluate(interpreter).truthy()) {
      return render_body(body, interpreter, out);
    }
  }
  return Flow::kNormal;
}

std::vector<Value> ForStatement::chosen_items(Interpreter& interpreter) const {
  std::vector<Value> all = iterate(items->evaluate(interpreter));
  interpreter.charge(all.size());
  if (condition == nullptr) return all;
  std::vector<Value> chosen;
  for (Value& v : all) {
    const Interpreter::ScopeGuard guard(interpreter);
    target.assign(interpreter, v);
    if (condition->evaluate(interpreter).truthy()) chosen.push_back(std::move(v));
  }
  return chosen;
}

Flow ForStatement::run(Interpreter& interpreter, std::string& out) const {
  const auto loop = std::make_shared<Loop>(chosen_items(interpreter));
  for (; !loop->done(); loop->advance()) {
    const Interpreter::ScopeGuard guard(interpreter);
    interpreter.assign("loop", Value::ObjectPtr(loop));
    target.assign(interpreter, loop->item());
    if (render_body(body, interpreter, out) == Flow::kBreak) break;
  }
  if (!loop->empty()) return Flow::kNormal;
  const Interpreter::ScopeGuard guard(interpreter);
  return render_body(otherwise, interpreter, out);
}

Flow SetStatement::run(Interpreter& interpreter, std::string&) const {
  target.assign(interpreter, value->evaluate(interpreter));
  return Flow::kNormal;
}

Flow CaptureStatement::run(Interpreter& interpreter, std::string& out) const {
  Value captured;
  {
    const Interpreter::ScopeGuard guard(interpreter);
    std::string text;
    const Flow flow = render_body(body, interpreter, text);
    if (flow != Flow::kNormal) return flow;
    captured = Value(std::move(text));
  }
  for (const AppliedFilter& f : filters) {
    captured = f.filter(interpreter, captured, f.arguments.evaluate(interpreter));
  }
  if (target) {
    target->assign(interpreter, captured);
  } else {
    interpreter.write(out, to_text(captured));
  }
  return Flow::kNormal;
}

Flow MacroStatement::run(Interpreter& interpreter, std::string&) const {
  interpreter.assign(signature.name, make_macro(interpreter, signature, body));
  return Flow::kNormal;
}

Flow CallStatement::run(Interpreter& interpreter, std::string& out) const {
  const Value callee = call->function->evaluate(interpreter);
  callee.require_defined();
  Args args = call->arguments.evaluate(interpreter);
  args.named.emplace_back("caller", make_macro(interpreter, signature, body));
  if (callee.object() == nullptr) throw TemplateError("'call' needs a macro");
  interpreter.write(out, to_text(callee.object()->call(interpreter, args)));
  return Flow::kNormal;
}

Flow ScopeStatement::run(Interpreter& interpreter, std::string& out) const {
  std::vector<Value> values;
  for (const auto& [unused, e] : variables) values.push_back(e->evaluate(interpreter));
  const Interpreter::ScopeGuard guard(interpreter);
  for (std::size_t i = 0; i < values.size(); ++i) variables[i].first.assign(interpreter, values[i]);
  return render_body(body, interpreter, out);
}

}  // namespace dejavu::jinja
