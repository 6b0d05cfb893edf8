// Attributes, items and slices of template values.
#include "engine/text/jinja_methods.h"
#include "engine/text/jinja_value.h"
#include "engine/text/utf8.h"

namespace dejavu::jinja {
namespace {

// A negative index counts from the end.
std::optional<std::size_t> position(std::int64_t index, std::size_t size) {
  const auto count = static_cast<std::int64_t>(size);
  if (index < 0) index += count;
  if (index < 0 || index >= count) return std::nullopt;
  return static_cast<std::size_t>(index);
}

// Python's slice.indices().
struct SliceRange {
  std::int64_t start;
  std::int64_t stop;
  std::int64_t step;
};

std::int64_t bound(const Value& value, std::int64_t otherwise, std::int64_t count, bool backwards) {
  if (value.is_none()) return otherwise;
  const auto given = value.integer();
  if (!given) throw TemplateError("slice bounds must be whole numbers, not " + value.type_name());
  const std::int64_t low = backwards ? -1 : 0;
  const std::int64_t high = backwards ? count - 1 : count;
  const std::int64_t index = *given < 0 ? *given + count : *given;
  return index < low ? low : index > high ? high : index;
}

SliceRange resolve(const Value& start, const Value& stop, const Value& step, std::int64_t count) {
  constexpr std::int64_t kMaxStep = std::int64_t{1} << 32;
  SliceRange r{0, 0, 1};
  if (!step.is_none()) {
    const auto given = step.integer();
    if (!given || *given == 0) throw TemplateError("a slice's step must be a whole number, not 0");
    r.step = *given > kMaxStep ? kMaxStep : *given < -kMaxStep ? -kMaxStep : *given;
  }
  const bool backwards = r.step < 0;
  r.start = bound(start, backwards ? count - 1 : 0, count, backwards);
  r.stop = bound(stop, backwards ? -1 : count, count, backwards);
  return r;
}

std::vector<Value> take(const std::vector<Value>& items, const SliceRange& r) {
  std::vector<Value> out;
  for (std::int64_t i = r.start; r.step > 0 ? i < r.stop : i > r.stop; i += r.step) {
    out.push_back(items[static_cast<std::size_t>(i)]);
  }
  return out;
}

std::string no_item(const Value& value, const std::string& what) {
  return "'" + value.type_name() + " object' has no " + what;
}

bool has_index(const List& list) {
  return list.kind == ListKind::kList || list.kind == ListKind::kTuple;
}

Value own_attribute(const Value& value, std::string_view name) {
  if (const Object* o = value.object()) return o->attribute(name);
  if (has_method(value, name)) return make_bound_method(value, name);
  return Value::undefined(no_item(value, "attribute '" + std::string(name) + "'"));
}

}  // namespace

Value get_attribute(const Value& value, std::string_view name) {
  value.require_defined();
  const Value own = own_attribute(value, name);
  if (!own.is_undefined()) return own;
  if (const Dict* d = value.dict()) {
    if (const Value* found = d->find(name)) return *found;
  }
  return own;
}

Value get_item(const Value& value, const Value& key) {
  value.require_defined();
  const bool can_be_key = !key.is_undefined() && key.list() == nullptr && key.dict() == nullptr;
  if (const Dict* d = value.dict(); d != nullptr && can_be_key) {
    if (const Value* found = d->find(key)) return *found;
  }
  if (const auto index = key.integer()) {
    if (const List* l = value.list(); l != nullptr && has_index(*l)) {
      if (const auto at = position(*index, l->items.size())) return l->items[*at];
    }
    if (value.text() != nullptr) {
      const std::vector<Value> characters = iterate(value);
      if (const auto at = position(*index, characters.size())) return characters[*at];
    }
    return Value::undefined(no_item(value, "element " + std::to_string(*index)));
  }
  if (const std::string* name = key.text()) return own_attribute(value, *name);
  return Value::undefined(no_item(value, "such element"));
}

Value get_slice(const Value& value, const Value& start, const Value& stop, const Value& step) {
  value.require_defined();
  const std::string* text = value.text();
  const List* list = value.list();
  if (text == nullptr && (list == nullptr || !has_index(*list))) {
    throw TemplateError("'" + value.type_name() + "' cannot be sliced");
  }
  const std::vector<Value> items = iterate(value);
  const std::vector<Value> taken =
      take(items, resolve(start, stop, step, static_cast<std::int64_t>(items.size())));
  if (text == nullptr) return Value::list(taken, list->kind);
  std::string out;
  for (const Value& v : taken) out += *v.text();
  return out;
}

}  // namespace dejavu::jinja
