#include "engine/text/jinja_functions.h"

#include <ctime>
#include <memory>

#include "engine/text/jinja_interpreter.h"
#include "engine/text/jinja_text.h"

namespace dejavu::jinja {
namespace {

constexpr std::int64_t kMaxRange = 100'000;  // jinja2's own limit

using Function = Value (*)(Interpreter& interpreter, const Args& args);

class BuiltinFunction final : public Object {
 public:
  BuiltinFunction(std::string name, Function function)
      : name_(std::move(name)), function_(function) {}
  std::string describe() const override { return "<function " + name_ + ">"; }
  bool callable() const override { return true; }
  Value call(Interpreter& interpreter, const Args& args) const override {
    return function_(interpreter, args);
  }

 private:
  std::string name_;
  Function function_;
};

std::int64_t whole(const Value& value) {
  const auto i = value.integer();
  if (!i) throw TemplateError("range() takes whole numbers, not " + value.type_name());
  return *i;
}

Value range(Interpreter& interpreter, const Args& args) {
  const auto a = bind(args, "range", {"start", "stop", "step"});
  if (!a[0]) throw TemplateError("range() needs an argument");
  const std::int64_t start = a[1] ? whole(*a[0]) : 0;
  const std::int64_t stop = whole(a[1] ? *a[1] : *a[0]);
  const std::int64_t step = a[2] ? whole(*a[2]) : 1;
  if (step == 0) throw TemplateError("range() cannot step by 0");
  std::vector<Value> items;
  for (std::int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (items.size() >= kMaxRange) {
      throw TemplateError("a range may have " + std::to_string(kMaxRange) + " items at most");
    }
    items.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  interpreter.charge(items.size());
  return Value::list(std::move(items));
}

// Entries of a dict, or of a list of pairs.
void copy_entries(const Value& from, Dict& to) {
  if (const Dict* d = from.dict()) {
    for (const auto& [key, value] : d->entries()) to.set(key, value);
    return;
  }
  for (const Value& pair : iterate(from)) {
    const std::vector<Value> parts = iterate(pair);
    if (parts.size() != 2) throw TemplateError("dict() takes a dict or a list of pairs");
    to.set(parts[0], parts[1]);
  }
}

Dict make_dict(const Args& args, const std::string& function) {
  Dict dict;
  if (args.positional.size() > 1)
    throw TemplateError(function + "() takes one positional argument");
  if (!args.positional.empty()) copy_entries(args.positional[0], dict);
  for (const auto& [name, value] : args.named) dict.set(Value(name), value);
  return dict;
}

Value dict(Interpreter& interpreter, const Args& args) {
  auto d = std::make_shared<const Dict>(make_dict(args, "dict"));
  interpreter.charge(d->entries().size());
  return Value::DictPtr(std::move(d));
}

Value make_namespace(Interpreter& interpreter, const Args& args) {
  const auto made = std::make_shared<Namespace>();
  const Dict values = make_dict(args, "namespace");
  for (const auto& [key, value] : values.entries()) {
    made->set(to_text(key), value);
  }
  interpreter.keep_object(made);
  return Value::ObjectPtr(made);
}

Value raise_exception(Interpreter&, const Args& args) {
  const auto a = bind(args, "raise_exception", {"message"});
  throw RaisedError(a[0] ? to_text(*a[0]) : "the chat template refuses these messages");
}

Value strftime_now(Interpreter& interpreter, const Args& args) {
  const auto a = bind(args, "strftime_now", {"format"});
  const std::string* format = a[0] ? a[0]->text() : nullptr;
  if (format == nullptr) throw TemplateError("strftime_now() needs a format string");
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  std::string text(256 + format->size() * 16, '\0');
  text.resize(std::strftime(text.data(), text.size(), format->c_str(), &local));
  return interpreter.text(std::move(text));
}

}  // namespace

const std::map<std::string, Value>& global_functions() {
  static const std::map<std::string, Value> functions = [] {
    std::map<std::string, Value> made;
    const auto add = [&made](const std::string& name, Function function) {
      made[name] = Value::ObjectPtr(std::make_shared<BuiltinFunction>(name, function));
    };
    add("range", range);
    add("dict", dict);
    add("namespace", make_namespace);
    add("raise_exception", raise_exception);
    add("strftime_now", strftime_now);
    return made;
  }();
  return functions;
}

std::string Namespace::describe() const { return "<Namespace>"; }

Value Namespace::attribute(std::string_view name) const {
  const auto it = values_.find(name);
  return it == values_.end() ? Object::attribute(name) : it->second;
}

void Namespace::set(const std::string& name, Value value) { values_[name] = std::move(value); }

}  // namespace dejavu::jinja
