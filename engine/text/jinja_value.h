// The values of chat templates, with the semantics Python gives them in jinja2's immutable sandbox.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace dejavu::jinja {

// What a template does wrong, at compile or at render time; caught at the room's wall.
class TemplateError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// What raise_exception() in the template throws: its message stands alone.
class RaisedError : public TemplateError {
 public:
  using TemplateError::TemplateError;
};

class Value;
class Dict;
class Interpreter;
struct Args;

struct None {};

// Prints as nothing and is false; any other use is an error that says why it is not defined.
struct Undefined {
  std::shared_ptr<const std::string> why;
};

enum class ListKind {
  kList,
  kTuple,
  kView,       // of a dict: has a length, no index
  kGenerator,  // can be walked once, has neither
};

struct List;

// Loops, namespaces and what can be called.
class Object {
 public:
  virtual ~Object() = default;
  virtual std::string describe() const = 0;  // as printed
  virtual void clear() {}                    // drops what it holds, at the end
  virtual Value attribute(std::string_view name) const;
  virtual bool callable() const { return false; }
  virtual Value call(Interpreter& interpreter, const Args& args) const;
};

class Value {
 public:
  using Text = std::shared_ptr<const std::string>;
  using ListPtr = std::shared_ptr<List>;
  using DictPtr = std::shared_ptr<const Dict>;
  using ObjectPtr = std::shared_ptr<Object>;

  Value() : data_(None{}) {}
  Value(bool v) : data_(v) {}                                                         // NOLINT
  Value(std::int64_t v) : data_(v) {}                                                 // NOLINT
  Value(double v) : data_(v) {}                                                       // NOLINT
  Value(std::string v) : data_(std::make_shared<const std::string>(std::move(v))) {}  // NOLINT
  Value(ListPtr v) : data_(std::move(v)) {}                                           // NOLINT
  Value(DictPtr v) : data_(std::move(v)) {}                                           // NOLINT
  Value(ObjectPtr v) : data_(std::move(v)) {}                                         // NOLINT
  Value(const char*) = delete;  // would become a bool

  static Value undefined(std::string why);
  // Throws TemplateError when containers would nest too deeply.
  static Value list(std::vector<Value> items, ListKind kind = ListKind::kList);

  bool is_undefined() const { return std::holds_alternative<Undefined>(data_); }
  bool is_none() const { return std::holds_alternative<None>(data_); }
  bool is_bool() const { return std::holds_alternative<bool>(data_); }
  bool is_integer() const { return std::holds_alternative<std::int64_t>(data_); }
  bool is_float() const { return std::holds_alternative<double>(data_); }
  bool is_number() const { return is_bool() || is_integer() || is_float(); }
  const std::string* text() const;  // null for other kinds, as the next three
  List* list() const;
  const Dict* dict() const;
  Object* object() const;

  std::optional<std::int64_t> integer() const;  // of int and bool
  std::optional<double> number() const;         // of int, bool and float

  bool truthy() const;
  std::string type_name() const;  // Python's
  int depth() const;              // how deep containers nest
  // Throws TemplateError with the reason when this is undefined.
  void require_defined() const;

 private:
  using Data =
      std::variant<None, Undefined, bool, std::int64_t, double, Text, ListPtr, DictPtr, ObjectPtr>;
  Data data_;
};

struct List {
  ListKind kind;
  std::vector<Value> items;
  int depth;
};

// Keeps the order of insertion. Immutable once it is a Value.
class Dict {
 public:
  using Entry = std::pair<Value, Value>;
  // Throws TemplateError for a key that cannot be hashed.
  void set(const Value& key, Value value);
  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
  const std::vector<Entry>& entries() const { return entries_; }
  int depth() const { return depth_; }

 private:
  static std::string hash_text(const Value& key);

  std::vector<Entry> entries_;
  std::unordered_map<std::string, std::size_t> index_;
  int depth_ = 1;
};

struct Args {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// Arguments in the order of `names`, absent ones empty; throws for one too many or unknown.
std::vector<std::optional<Value>> bind(const Args& args, std::string_view function,
                                       const std::vector<std::string_view>& names);

bool equals(const Value& a, const Value& b);
bool less(const Value& a, const Value& b);
bool contains(const Value& container, const Value& item);
std::int64_t length(const Value& value);
// What a for loop walks over; a generator is empty afterwards.
std::vector<Value> iterate(const Value& value);

// x.name and x[key]: undefined when there is none.
Value get_attribute(const Value& value, std::string_view name);
Value get_item(const Value& value, const Value& key);
// x[start:stop:step] with absent bounds as none.
Value get_slice(const Value& value, const Value& start, const Value& stop, const Value& step);

}  // namespace dejavu::jinja
