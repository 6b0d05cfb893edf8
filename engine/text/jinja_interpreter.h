// State of one rendering: variables, budgets, and where the template is.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/text/jinja_value.h"

namespace dejavu::jinja {

struct Scope {
  std::unordered_map<std::string, Value> variables;
  std::shared_ptr<Scope> parent;
};

class Interpreter {
 public:
  explicit Interpreter(const Dict& variables);
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  // Budgets: each throws TemplateError when it is exhausted.
  void step(int line);                  // one node of the template
  void charge(std::size_t items);       // work on that many items
  void charge_text(std::size_t bytes);  // a string of that size
  Value text(std::string s);            // a charged string
  void write(std::string& out, std::string_view text);

  int line() const { return line_; }

  Value lookup(const std::string& name) const;
  void assign(const std::string& name, Value value);
  const std::shared_ptr<Scope>& scope() const { return scope_; }
  // Keeps a scope alive to the end of the rendering: a macro defined there needs it.
  void keep(const std::shared_ptr<Scope>& scope) { kept_scopes_.push_back(scope); }
  void keep_object(const Value::ObjectPtr& object) { kept_objects_.push_back(object); }

  // Variables assigned while one of these lives are gone when it does.
  class ScopeGuard {
   public:
    explicit ScopeGuard(Interpreter& interpreter) : ScopeGuard(interpreter, interpreter.scope_) {}
    ScopeGuard(Interpreter& interpreter, std::shared_ptr<Scope> parent)
        : interpreter_(interpreter), saved_(interpreter.scope_) {
      interpreter_.scope_ = std::make_shared<Scope>();
      interpreter_.scope_->parent = std::move(parent);
    }
    ~ScopeGuard() { interpreter_.scope_ = saved_; }
    ScopeGuard(const ScopeGuard&) = delete;
    ScopeGuard& operator=(const ScopeGuard&) = delete;

   private:
    Interpreter& interpreter_;
    std::shared_ptr<Scope> saved_;
  };

  // Counts how deep nodes are nested at run time.
  class DepthGuard {
   public:
    explicit DepthGuard(Interpreter& interpreter);
    ~DepthGuard() { --interpreter_.depth_; }
    DepthGuard(const DepthGuard&) = delete;
    DepthGuard& operator=(const DepthGuard&) = delete;

   private:
    Interpreter& interpreter_;
  };

 private:
  std::shared_ptr<Scope> scope_;
  std::vector<std::shared_ptr<Scope>> kept_scopes_;
  std::vector<Value::ObjectPtr> kept_objects_;
  std::size_t steps_ = 0;
  std::size_t bytes_ = 0;
  int depth_ = 0;
  int line_ = 0;
};

}  // namespace dejavu::jinja
