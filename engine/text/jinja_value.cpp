#include "engine/text/jinja_value.h"

#include <algorithm>
#include <cmath>

#include "engine/text/jinja_text.h"
#include "engine/text/utf8.h"

namespace dejavu::jinja {
namespace {

constexpr int kMaxDepth = 200;  // containers in containers; JSON schemas need about 20

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

void check_depth(int depth) {
  if (depth > kMaxDepth) throw TemplateError("lists and dicts are nested too deeply");
}

bool is_tuple(const List& list) { return list.kind == ListKind::kTuple; }

bool equal_lists(const List& a, const List& b) {
  return is_tuple(a) == is_tuple(b) &&
         std::equal(a.items.begin(), a.items.end(), b.items.begin(), b.items.end(), equals);
}

bool equal_dicts(const Dict& a, const Dict& b) {
  if (a.entries().size() != b.entries().size()) return false;
  return std::all_of(a.entries().begin(), a.entries().end(), [&b](const Dict::Entry& e) {
    const Value* other = b.find(e.first);
    return other != nullptr && equals(e.second, *other);
  });
}

}  // namespace

Value Object::attribute(std::string_view name) const {
  return Value::undefined("'" + describe() + "' has no attribute '" + std::string(name) + "'");
}

Value Object::call(Interpreter&, const Args&) const {
  throw TemplateError("'" + describe() + "' cannot be called");
}

Value Value::undefined(std::string why) {
  Value v;
  v.data_ = Undefined{std::make_shared<const std::string>(std::move(why))};
  return v;
}

Value Value::list(std::vector<Value> items, ListKind kind) {
  int depth = 1;
  for (const Value& v : items) depth = std::max(depth, v.depth() + 1);
  check_depth(depth);
  return std::make_shared<List>(List{kind, std::move(items), depth});
}

const std::string* Value::text() const {
  const auto* p = std::get_if<Text>(&data_);
  return p == nullptr ? nullptr : p->get();
}

List* Value::list() const {
  const auto* p = std::get_if<ListPtr>(&data_);
  return p == nullptr ? nullptr : p->get();
}

const Dict* Value::dict() const {
  const auto* p = std::get_if<DictPtr>(&data_);
  return p == nullptr ? nullptr : p->get();
}

Object* Value::object() const {
  const auto* p = std::get_if<ObjectPtr>(&data_);
  return p == nullptr ? nullptr : p->get();
}

std::optional<std::int64_t> Value::integer() const {
  if (const auto* b = std::get_if<bool>(&data_)) return *b ? 1 : 0;
  if (const auto* i = std::get_if<std::int64_t>(&data_)) return *i;
  return std::nullopt;
}

std::optional<double> Value::number() const {
  if (const auto* d = std::get_if<double>(&data_)) return *d;
  const auto i = integer();
  return i ? std::optional<double>(static_cast<double>(*i)) : std::nullopt;
}

bool Value::truthy() const {
  return std::visit(
      Overloaded{
          [](None) { return false; }, [](const Undefined&) { return false; },
          [](bool v) { return v; }, [](std::int64_t v) { return v != 0; },
          [](double v) { return v != 0.0; }, [](const Text& v) { return !v->empty(); },
          [](const ListPtr& v) { return v->kind == ListKind::kGenerator || !v->items.empty(); },
          [](const DictPtr& v) { return !v->entries().empty(); },
          [](const ObjectPtr&) { return true; }},
      data_);
}

std::string Value::type_name() const {
  return std::visit(
      Overloaded{[](None) { return "NoneType"; }, [](const Undefined&) { return "Undefined"; },
                 [](bool) { return "bool"; }, [](std::int64_t) { return "int"; },
                 [](double) { return "float"; }, [](const Text&) { return "str"; },
                 [](const ListPtr& v) {
                   switch (v->kind) {
                     case ListKind::kTuple:
                       return "tuple";
                     case ListKind::kView:
                       return "dict view";
                     case ListKind::kGenerator:
                       return "generator";
                     case ListKind::kList:
                       break;
                   }
                   return "list";
                 },
                 [](const DictPtr&) { return "dict"; }, [](const ObjectPtr&) { return "object"; }},
      data_);
}

int Value::depth() const {
  if (const List* l = list()) return l->depth;
  if (const Dict* d = dict()) return d->depth();
  return 0;
}

void Value::require_defined() const {
  if (const auto* u = std::get_if<Undefined>(&data_)) throw TemplateError(*u->why);
}

std::string Dict::hash_text(const Value& key) {
  if (const std::string* s = key.text()) return "s" + *s;
  if (key.is_none()) return "n";
  if (const auto number = key.number()) {
    const auto integer = key.integer();
    const bool whole = integer || (std::fabs(*number) < 1e15 && std::trunc(*number) == *number);
    return whole ? "i" + to_text(Value(integer ? *integer : static_cast<std::int64_t>(*number)))
                 : "f" + to_text(key);
  }
  if (const List* l = key.list(); l != nullptr && is_tuple(*l)) {
    std::string text = "t";
    for (const Value& v : l->items) {
      const std::string part = hash_text(v);
      text += std::to_string(part.size()) + ":" + part;
    }
    return text;
  }
  key.require_defined();
  throw TemplateError("unhashable type: '" + key.type_name() + "'");
}

void Dict::set(const Value& key, Value value) {
  depth_ = std::max(depth_, value.depth() + 1);
  check_depth(depth_);
  const auto [it, fresh] = index_.try_emplace(hash_text(key), entries_.size());
  if (fresh) {
    entries_.emplace_back(key, std::move(value));
  } else {
    entries_[it->second].second = std::move(value);
  }
}

const Value* Dict::find(const Value& key) const {
  const auto it = index_.find(hash_text(key));
  return it == index_.end() ? nullptr : &entries_[it->second].second;
}

const Value* Dict::find(std::string_view key) const {
  const auto it = index_.find("s" + std::string(key));
  return it == index_.end() ? nullptr : &entries_[it->second].second;
}

std::vector<std::optional<Value>> bind(const Args& args, std::string_view function,
                                       const std::vector<std::string_view>& names) {
  std::vector<std::optional<Value>> bound(names.size());
  if (args.positional.size() > names.size()) {
    throw TemplateError(std::string(function) + "() takes at most " + std::to_string(names.size()) +
                        " arguments, " + std::to_string(args.positional.size()) + " were given");
  }
  std::copy(args.positional.begin(), args.positional.end(), bound.begin());
  for (const auto& [name, value] : args.named) {
    const auto at = std::find(names.begin(), names.end(), name);
    if (at == names.end()) {
      throw TemplateError(std::string(function) + "() got an unexpected argument '" + name + "'");
    }
    bound[static_cast<std::size_t>(at - names.begin())] = value;
  }
  return bound;
}

bool equals(const Value& a, const Value& b) {
  const auto na = a.number();
  const auto nb = b.number();
  if (na && nb) {
    const auto ia = a.integer();
    const auto ib = b.integer();
    return ia && ib ? *ia == *ib : *na == *nb;
  }
  if (a.text() != nullptr && b.text() != nullptr) return *a.text() == *b.text();
  if (a.list() != nullptr && b.list() != nullptr) {
    return a.list() == b.list() || equal_lists(*a.list(), *b.list());
  }
  if (a.dict() != nullptr && b.dict() != nullptr) return equal_dicts(*a.dict(), *b.dict());
  if (a.object() != nullptr) return a.object() == b.object();
  return (a.is_none() && b.is_none()) || (a.is_undefined() && b.is_undefined());
}

bool less(const Value& a, const Value& b) {
  a.require_defined();
  b.require_defined();
  const auto na = a.number();
  const auto nb = b.number();
  if (na && nb) {
    const auto ia = a.integer();
    const auto ib = b.integer();
    return ia && ib ? *ia < *ib : *na < *nb;
  }
  if (a.text() != nullptr && b.text() != nullptr) return *a.text() < *b.text();
  const List* la = a.list();
  const List* lb = b.list();
  if (la != nullptr && lb != nullptr && is_tuple(*la) == is_tuple(*lb)) {
    const auto [i, j] = std::mismatch(la->items.begin(), la->items.end(), lb->items.begin(),
                                      lb->items.end(), equals);
    return i == la->items.end() || j == lb->items.end() ? la->items.size() < lb->items.size()
                                                        : less(*i, *j);
  }
  throw TemplateError("'" + a.type_name() + "' and '" + b.type_name() + "' cannot be ordered");
}

bool contains(const Value& container, const Value& item) {
  if (const std::string* s = container.text()) {
    if (const std::string* part = item.text()) return s->find(*part) != std::string::npos;
    throw TemplateError("'in <string>' needs a string on its left, not " + item.type_name());
  }
  if (const Dict* d = container.dict()) return d->find(item) != nullptr;
  const std::vector<Value> items = iterate(container);
  return std::any_of(items.begin(), items.end(), [&](const Value& v) { return equals(v, item); });
}

std::int64_t length(const Value& value) {
  if (value.is_undefined()) return 0;
  if (const std::string* s = value.text()) return static_cast<std::int64_t>(count_code_points(*s));
  if (const Dict* d = value.dict()) return static_cast<std::int64_t>(d->entries().size());
  const List* l = value.list();
  if (l == nullptr || l->kind == ListKind::kGenerator) {
    throw TemplateError("'" + value.type_name() + "' has no length");
  }
  return static_cast<std::int64_t>(l->items.size());
}

std::vector<Value> iterate(const Value& value) {
  if (value.is_undefined()) return {};
  if (List* l = value.list()) {
    return l->kind == ListKind::kGenerator ? std::exchange(l->items, {}) : l->items;
  }
  std::vector<Value> items;
  if (const Dict* d = value.dict()) {
    for (const auto& [key, unused] : d->entries()) items.push_back(key);
    return items;
  }
  if (const std::string* s = value.text()) {
    for (std::size_t i = 0; i < s->size();) {
      const std::size_t bytes = decode_utf8(*s, i).bytes;
      items.emplace_back(s->substr(i, bytes));
      i += bytes;
    }
    return items;
  }
  throw TemplateError("'" + value.type_name() + "' cannot be iterated over");
}

}  // namespace dejavu::jinja
