// Filters on lists, dicts and what can be iterated over.
#include <algorithm>
#include <map>

#include "engine/text/jinja_ast.h"
#include "engine/text/jinja_builtins.h"
#include "engine/text/jinja_interpreter.h"
#include "engine/text/jinja_strings.h"
#include "engine/text/jinja_text.h"

namespace dejavu::jinja {
namespace {

std::vector<Value> items_of(Interpreter& in, const Value& v) {
  std::vector<Value> items = iterate(v);
  in.charge(items.size());
  return items;
}

bool flag(const std::optional<Value>& v) { return v && v->truthy(); }

// An attribute as filters name it: "a.b", "a.0" or an index.
Value dig(const Value& item, const Value& attribute) {
  if (attribute.text() == nullptr) return get_item(item, attribute);
  Value value = item;
  for (const std::string& part : split(*attribute.text(), ".", -1)) {
    const bool index = !part.empty() && std::all_of(part.begin(), part.end(),
                                                    [](char c) { return c >= '0' && c <= '9'; });
    value = get_item(
        value, index && part.size() < 10 ? Value(std::int64_t{std::stol(part)}) : Value(part));
  }
  return value;
}

Value ignore_case(const Value& v, bool case_sensitive) {
  const std::string* s = v.text();
  return s == nullptr || case_sensitive ? v : Value(lower(*s));
}

// What a value is compared by in sort, unique, min and max.
struct Key {
  bool case_sensitive = false;
  std::optional<Value> attribute;

  Value of(const Value& item) const {
    const bool whole = !attribute || attribute->is_none();
    return ignore_case(whole ? item : dig(item, *attribute), case_sensitive);
  }
};

Value first(Interpreter& in, const Value& v, const Args& args) {
  bind(args, "first", {});
  const std::vector<Value> items = items_of(in, v);
  return items.empty() ? Value::undefined("no first item: the sequence was empty") : items.front();
}

Value last(Interpreter& in, const Value& v, const Args& args) {
  bind(args, "last", {});
  const std::vector<Value> items = items_of(in, v);
  return items.empty() ? Value::undefined("no last item: the sequence was empty") : items.back();
}

Value length_filter(Interpreter&, const Value& v, const Args& args) {
  bind(args, "length", {});
  return length(v);
}

Value list_filter(Interpreter& in, const Value& v, const Args& args) {
  bind(args, "list", {});
  return Value::list(items_of(in, v));
}

Value join(Interpreter& in, const Value& v, const Args& args) {
  const auto a = bind(args, "join", {"d", "attribute"});
  const std::string separator = a[0] ? to_text(*a[0]) : "";
  std::string out;
  bool first_item = true;
  for (const Value& item : items_of(in, v)) {
    if (!first_item) in.write(out, separator);
    first_item = false;
    in.write(out, to_text(a[1] && !a[1]->is_none() ? dig(item, *a[1]) : item));
  }
  return out;
}

Value reverse(Interpreter& in, const Value& v, const Args& args) {
  bind(args, "reverse", {});
  std::vector<Value> items = items_of(in, v);
  std::reverse(items.begin(), items.end());
  if (v.text() == nullptr) return Value::list(std::move(items), ListKind::kGenerator);
  std::string out;
  for (const Value& c : items) out += *c.text();
  return in.text(std::move(out));
}

std::vector<Value> sorted(std::vector<Value> items, const Key& key, bool descending) {
  std::vector<std::pair<Value, Value>> keyed;
  for (Value& v : items) keyed.emplace_back(key.of(v), std::move(v));
  std::stable_sort(keyed.begin(), keyed.end(), [descending](const auto& a, const auto& b) {
    return descending ? less(b.first, a.first) : less(a.first, b.first);
  });
  for (std::size_t i = 0; i < items.size(); ++i) items[i] = std::move(keyed[i].second);
  return items;
}

Value sort(Interpreter& in, const Value& v, const Args& args) {
  const auto a = bind(args, "sort", {"reverse", "case_sensitive", "attribute"});
  return Value::list(sorted(items_of(in, v), {flag(a[1]), a[2]}, flag(a[0])));
}

Value dictsort(Interpreter& in, const Value& v, const Args& args) {
  const auto a = bind(args, "dictsort", {"case_sensitive", "by", "reverse"});
  v.require_defined();
  if (v.dict() == nullptr) throw TemplateError("dictsort needs a dict, not " + v.type_name());
  const std::string by = a[1] ? to_text(*a[1]) : "key";
  if (by != "key" && by != "value") throw TemplateError("dictsort sorts by 'key' or 'value'");
  std::vector<Value> pairs;
  for (const auto& [key, value] : v.dict()->entries()) {
    pairs.push_back(Value::list({key, value}, ListKind::kTuple));
  }
  in.charge(pairs.size());
  const Key key{flag(a[0]), Value(std::int64_t{by == "key" ? 0 : 1})};
  return Value::list(sorted(std::move(pairs), key, flag(a[2])));
}

Value items(Interpreter& in, const Value& v, const Args& args) {
  bind(args, "items", {});
  std::vector<Value> pairs;
  if (!v.is_undefined()) {
    if (v.dict() == nullptr) throw TemplateError("items needs a dict, not " + v.type_name());
    for (const auto& [key, value] : v.dict()->entries()) {
      pairs.push_back(Value::list({key, value}, ListKind::kTuple));
    }
  }
  in.charge(pairs.size());
  return Value::list(std::move(pairs), ListKind::kGenerator);
}

Value unique(Interpreter& in, const Value& v, const Args& args) {
  const auto a = bind(args, "unique", {"case_sensitive", "attribute"});
  const Key key{flag(a[0]), a[1]};
  Dict seen;
  std::vector<Value> kept;
  for (const Value& item : items_of(in, v)) {
    const Value k = key.of(item);
    if (seen.find(k) != nullptr) continue;
    seen.set(k, Value());
    kept.push_back(item);
  }
  return Value::list(std::move(kept), ListKind::kGenerator);
}

Value extreme(Interpreter& in, const Value& v, const Args& args, bool largest) {
  const auto a = bind(args, largest ? "max" : "min", {"case_sensitive", "attribute"});
  const Key key{flag(a[0]), a[1]};
  const std::vector<Value> all = items_of(in, v);
  if (all.empty()) return Value::undefined("no aggregated item: the sequence was empty");
  return *std::min_element(all.begin(), all.end(), [&](const Value& x, const Value& y) {
    return largest ? less(key.of(y), key.of(x)) : less(key.of(x), key.of(y));
  });
}

Value max_filter(Interpreter& in, const Value& v, const Args& args) {
  return extreme(in, v, args, true);
}

Value min_filter(Interpreter& in, const Value& v, const Args& args) {
  return extreme(in, v, args, false);
}

Value sum(Interpreter& in, const Value& v, const Args& args) {
  const auto a = bind(args, "sum", {"attribute", "start"});
  Value total = a[1] ? *a[1] : Value(std::int64_t{0});
  for (const Value& item : items_of(in, v)) {
    total = apply(in, BinaryOp::kAdd, total, a[0] && !a[0]->is_none() ? dig(item, *a[0]) : item);
  }
  return total;
}

// map(attribute="x", default=…) or map("filter", arguments of the filter…).
Value map(Interpreter& in, const Value& v, const Args& args) {
  std::vector<Value> mapped;
  if (args.positional.empty()) {
    const auto a = bind(args, "map", {"attribute", "default"});
    if (!a[0]) throw TemplateError("map needs a filter or an attribute");
    for (const Value& item : items_of(in, v)) {
      const Value found = dig(item, *a[0]);
      mapped.push_back(found.is_undefined() && a[1] ? *a[1] : found);
    }
  } else {
    const std::string name = to_text(args.positional[0]);
    const Filter filter = find_filter(name);
    if (filter == nullptr) throw TemplateError("the filter '" + name + "' is not supported");
    const Args rest{{args.positional.begin() + 1, args.positional.end()}, args.named};
    for (const Value& item : items_of(in, v)) mapped.push_back(filter(in, item, rest));
  }
  return Value::list(std::move(mapped), ListKind::kGenerator);
}

// select, reject and their …attr forms: by a test, or by truth without one.
struct Selection {
  bool keep;          // what the test finds, or what it does not
  bool by_attribute;  // the first argument names it
};

template <Selection selection>
Value choose(Interpreter& in, const Value& v, const Args& args) {
  const std::size_t at = selection.by_attribute ? 1 : 0;
  if (args.positional.size() < at) throw TemplateError("an attribute's name is missing");
  Test test = nullptr;
  Args rest{{}, args.named};
  if (args.positional.size() > at) {
    const std::string name = to_text(args.positional[at]);
    test = find_test(name);
    if (test == nullptr) throw TemplateError("the test '" + name + "' is not supported");
    rest.positional.assign(args.positional.begin() + static_cast<std::ptrdiff_t>(at) + 1,
                           args.positional.end());
  }
  std::vector<Value> chosen;
  for (const Value& item : items_of(in, v)) {
    const Value subject = selection.by_attribute ? dig(item, args.positional[0]) : item;
    const bool holds = test == nullptr ? subject.truthy() : test(subject, rest);
    if (holds == selection.keep) chosen.push_back(item);
  }
  return Value::list(std::move(chosen), ListKind::kGenerator);
}

}  // namespace

Filter find_list_filter(std::string_view name) {
  static const std::map<std::string_view, Filter> filters = {
      {"first", first},
      {"last", last},
      {"length", length_filter},
      {"count", length_filter},
      {"list", list_filter},
      {"join", join},
      {"reverse", reverse},
      {"sort", sort},
      {"dictsort", dictsort},
      {"items", items},
      {"unique", unique},
      {"max", max_filter},
      {"min", min_filter},
      {"sum", sum},
      {"map", map},
      {"select", choose<Selection{true, false}>},
      {"reject", choose<Selection{false, false}>},
      {"selectattr", choose<Selection{true, true}>},
      {"rejectattr", choose<Selection{false, true}>},
  };
  const auto it = filters.find(name);
  return it == filters.end() ? nullptr : it->second;
}

}  // namespace dejavu::jinja
