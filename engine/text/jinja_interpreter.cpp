#include "engine/text/jinja_interpreter.h"

#include "engine/text/jinja_functions.h"

namespace dejavu::jinja {
namespace {

// Published templates take a few hundred steps a message.
constexpr std::size_t kMaxSteps = 10'000'000;
constexpr std::size_t kMaxBytes = std::size_t{1} << 30;  // of all strings made on the way
constexpr std::size_t kMaxText = std::size_t{64} << 20;  // of one string, the result included
constexpr int kMaxDepth = 1'000;

}  // namespace

Interpreter::Interpreter(const Dict& variables) : scope_(std::make_shared<Scope>()) {
  for (const auto& [name, function] : global_functions()) scope_->variables[name] = function;
  for (const auto& [name, value] : variables.entries()) scope_->variables[*name.text()] = value;
}

Interpreter::~Interpreter() {
  // A macro or namespace may be reached from itself: what they hold goes first.
  for (const auto& scope : kept_scopes_) scope->variables.clear();
  for (const auto& object : kept_objects_) object->clear();
}

void Interpreter::step(int line) {
  line_ = line;
  charge(1);
}

void Interpreter::charge(std::size_t items) {
  steps_ += items;
  if (steps_ > kMaxSteps) {
    throw TemplateError("the template takes more than " + std::to_string(kMaxSteps) + " steps");
  }
}

void Interpreter::charge_text(std::size_t bytes) {
  bytes_ += bytes;
  if (bytes > kMaxText || bytes_ > kMaxBytes) {
    throw TemplateError("the template makes more than " +
                        std::to_string((bytes > kMaxText ? kMaxText : kMaxBytes) >> 20) +
                        " MiB of text");
  }
}

Value Interpreter::text(std::string s) {
  charge_text(s.size());
  return s;
}

void Interpreter::write(std::string& out, std::string_view text) {
  if (out.size() + text.size() > kMaxText) charge_text(out.size() + text.size());
  charge_text(text.size());
  out.append(text);
}

Value Interpreter::lookup(const std::string& name) const {
  for (const Scope* s = scope_.get(); s != nullptr; s = s->parent.get()) {
    const auto it = s->variables.find(name);
    if (it != s->variables.end()) return it->second;
  }
  return Value::undefined("'" + name + "' is undefined");
}

void Interpreter::assign(const std::string& name, Value value) {
  scope_->variables.insert_or_assign(name, std::move(value));
}

Interpreter::DepthGuard::DepthGuard(Interpreter& interpreter) : interpreter_(interpreter) {
  if (++interpreter_.depth_ > kMaxDepth) {
    --interpreter_.depth_;  // the destructor will not run
    throw TemplateError("the template recurses too deeply");
  }
}

}  // namespace dejavu::jinja
