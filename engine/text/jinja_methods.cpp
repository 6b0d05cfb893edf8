#include "engine/text/jinja_methods.h"

#include <algorithm>
#include <map>
#include <memory>

#include "engine/text/jinja_interpreter.h"
#include "engine/text/jinja_strings.h"
#include "engine/text/jinja_text.h"
#include "engine/text/utf8.h"

namespace dejavu::jinja {
namespace {

using Method = Value (*)(Interpreter& in, const Value& self, const Args& args);
using Methods = std::map<std::string_view, Method>;

const std::string& text_of(const std::optional<Value>& v, std::string_view method) {
  if (!v || v->text() == nullptr) {
    if (v) v->require_defined();
    throw TemplateError(std::string(method) + "() needs a string, not " +
                        (v ? v->type_name() : "nothing"));
  }
  return *v->text();
}

std::int64_t whole_or(const std::optional<Value>& v, std::int64_t otherwise) {
  if (!v || v->is_none()) return otherwise;
  const auto i = v->integer();
  if (!i) throw TemplateError("a whole number is needed, not " + v->type_name());
  return *i;
}

Value list_of(Interpreter& in, std::vector<std::string> parts) {
  std::vector<Value> items;
  items.reserve(parts.size());
  for (std::string& p : parts) items.push_back(in.text(std::move(p)));
  in.charge(items.size());
  return Value::list(std::move(items));
}

template <std::string (*change)(std::string_view)>
Value change_text(Interpreter& in, const Value& self, const Args& args) {
  bind(args, "the method", {});
  return in.text(change(*self.text()));
}

template <Side side>
Value strip_method(Interpreter& in, const Value& self, const Args& args) {
  const auto a = bind(args, "strip", {"chars"});
  const bool given = a[0] && !a[0]->is_none();
  if (given && text_of(a[0], "strip").empty()) return self;
  return in.text(strip(*self.text(), given ? *a[0]->text() : "", side));
}

using Splitter = std::vector<std::string> (*)(std::string_view, std::string_view, std::int64_t);

template <Splitter cut>
Value split_method(Interpreter& in, const Value& self, const Args& args) {
  const auto a = bind(args, "split", {"sep", "maxsplit"});
  const std::int64_t limit = whole_or(a[1], -1);
  if (!a[0] || a[0]->is_none()) return list_of(in, split_spaces(*self.text(), limit));
  const std::string& separator = text_of(a[0], "split");
  if (separator.empty()) throw TemplateError("split() with an empty separator");
  return list_of(in, cut(*self.text(), separator, limit));
}

Value split_lines_method(Interpreter& in, const Value& self, const Args& args) {
  bind(args, "splitlines", {});
  return list_of(in, split_lines(*self.text()));
}

// startswith and endswith take one string or a tuple of them.
template <class F>
Value any_affix(const Args& args, std::string_view method, F matches) {
  const auto a = bind(args, method, {"affix"});
  if (a[0] && a[0]->list() != nullptr) {
    const std::vector<Value> affixes = iterate(*a[0]);
    return std::any_of(affixes.begin(), affixes.end(),
                       [&](const Value& v) { return matches(text_of(v, method)); });
  }
  return Value(bool{matches(text_of(a[0], method))});
}

Value starts_with(Interpreter&, const Value& self, const Args& args) {
  return any_affix(args, "startswith",
                   [&](const std::string& s) { return self.text()->starts_with(s); });
}

Value ends_with(Interpreter&, const Value& self, const Args& args) {
  return any_affix(args, "endswith",
                   [&](const std::string& s) { return self.text()->ends_with(s); });
}

Value remove_prefix(Interpreter& in, const Value& self, const Args& args) {
  const auto a = bind(args, "removeprefix", {"prefix"});
  const std::string& prefix = text_of(a[0], "removeprefix");
  return self.text()->starts_with(prefix) ? in.text(self.text()->substr(prefix.size())) : self;
}

Value remove_suffix(Interpreter& in, const Value& self, const Args& args) {
  const auto a = bind(args, "removesuffix", {"suffix"});
  const std::string& suffix = text_of(a[0], "removesuffix");
  return self.text()->ends_with(suffix)
             ? in.text(self.text()->substr(0, self.text()->size() - suffix.size()))
             : self;
}

Value replace_method(Interpreter& in, const Value& self, const Args& args) {
  const auto a = bind(args, "replace", {"old", "new", "count"});
  return in.text(replace(*self.text(), text_of(a[0], "replace"), text_of(a[1], "replace"),
                         whole_or(a[2], -1)));
}

// A byte offset in `text` as a number of characters; -1 for none.
Value character_index(const std::string& text, std::size_t byte) {
  if (byte == std::string::npos) return std::int64_t{-1};
  return static_cast<std::int64_t>(count_code_points(std::string_view(text).substr(0, byte)));
}

Value find(Interpreter&, const Value& self, const Args& args) {
  const auto a = bind(args, "find", {"sub"});
  return character_index(*self.text(), self.text()->find(text_of(a[0], "find")));
}

Value find_right(Interpreter&, const Value& self, const Args& args) {
  const auto a = bind(args, "rfind", {"sub"});
  return character_index(*self.text(), self.text()->rfind(text_of(a[0], "rfind")));
}

Value count_text(Interpreter&, const Value& self, const Args& args) {
  const auto a = bind(args, "count", {"sub"});
  const std::string& part = text_of(a[0], "count");
  if (part.empty()) return length(self) + 1;
  std::int64_t count = 0;
  for (std::size_t at = self.text()->find(part); at != std::string::npos;
       at = self.text()->find(part, at + part.size())) {
    ++count;
  }
  return count;
}

Value join(Interpreter& in, const Value& self, const Args& args) {
  const auto a = bind(args, "join", {"iterable"});
  if (!a[0]) throw TemplateError("join() needs what to join");
  std::string out;
  bool first = true;
  for (const Value& v : iterate(*a[0])) {
    if (!first) in.write(out, *self.text());
    first = false;
    in.write(out, text_of(v, "join"));
  }
  return out;
}

template <bool (*holds)(char32_t)>
Value all_characters(Interpreter&, const Value& self, const Args& args) {
  bind(args, "the method", {});
  const std::string& s = *self.text();
  for (std::size_t i = 0; i < s.size();) {
    const CodePoint c = decode_utf8(s, i);
    if (!holds(c.value)) return false;
    i += c.bytes;
  }
  return !s.empty();
}

bool is_alnum(char32_t c) { return is_alphabetic(c) || is_numeric(c); }

template <std::string (*change)(std::string_view)>
Value is_case(Interpreter&, const Value& self, const Args& args) {
  bind(args, "the method", {});
  const std::string& s = *self.text();
  return change(s) == s && upper(s) != lower(s);
}

Value get(Interpreter&, const Value& self, const Args& args) {
  const auto a = bind(args, "get", {"key", "default"});
  if (!a[0]) throw TemplateError("get() needs a key");
  const Value* found = a[0]->is_undefined() ? nullptr : self.dict()->find(*a[0]);
  return found != nullptr ? *found : a[1] ? *a[1] : Value();
}

Value keys(Interpreter& in, const Value& self, const Args& args) {
  bind(args, "keys", {});
  in.charge(self.dict()->entries().size());
  return Value::list(iterate(self), ListKind::kView);
}

Value values(Interpreter& in, const Value& self, const Args& args) {
  bind(args, "values", {});
  std::vector<Value> found;
  for (const auto& [unused, value] : self.dict()->entries()) found.push_back(value);
  in.charge(found.size());
  return Value::list(std::move(found), ListKind::kView);
}

Value items(Interpreter& in, const Value& self, const Args& args) {
  bind(args, "items", {});
  std::vector<Value> pairs;
  for (const auto& [key, value] : self.dict()->entries()) {
    pairs.push_back(Value::list({key, value}, ListKind::kTuple));
  }
  in.charge(pairs.size());
  return Value::list(std::move(pairs), ListKind::kView);
}

Value copy(Interpreter&, const Value& self, const Args& args) {
  bind(args, "copy", {});
  return self;
}

std::int64_t position_of(const Value& self, const std::optional<Value>& item) {
  const std::vector<Value>& all = self.list()->items;
  const auto at = std::find_if(all.begin(), all.end(),
                               [&](const Value& v) { return item && equals(v, *item); });
  return at == all.end() ? -1 : at - all.begin();
}

Value index_in_list(Interpreter&, const Value& self, const Args& args) {
  const std::int64_t at = position_of(self, bind(args, "index", {"value"})[0]);
  if (at < 0) throw TemplateError("index(): the value is not in the list");
  return at;
}

Value count_in_list(Interpreter&, const Value& self, const Args& args) {
  const auto a = bind(args, "count", {"value"});
  const std::vector<Value>& all = self.list()->items;
  return static_cast<std::int64_t>(std::count_if(
      all.begin(), all.end(), [&](const Value& v) { return a[0] && equals(v, *a[0]); }));
}

const Methods& text_methods() {
  static const Methods methods = {
      {"strip", strip_method<Side::kBoth>},
      {"lstrip", strip_method<Side::kLeft>},
      {"rstrip", strip_method<Side::kRight>},
      {"split", split_method<split>},
      {"rsplit", split_method<split_right>},
      {"splitlines", split_lines_method},
      {"startswith", starts_with},
      {"endswith", ends_with},
      {"removeprefix", remove_prefix},
      {"removesuffix", remove_suffix},
      {"replace", replace_method},
      {"upper", change_text<upper>},
      {"lower", change_text<lower>},
      {"casefold", change_text<lower>},
      {"title", change_text<title>},
      {"capitalize", change_text<capitalize>},
      {"find", find},
      {"rfind", find_right},
      {"count", count_text},
      {"join", join},
      {"isdigit", all_characters<is_decimal>},
      {"isnumeric", all_characters<is_numeric>},
      {"isalpha", all_characters<is_alphabetic>},
      {"isalnum", all_characters<is_alnum>},
      {"isspace", all_characters<is_python_space>},
      {"isupper", is_case<upper>},
      {"islower", is_case<lower>},
  };
  return methods;
}

const Methods& dict_methods() {
  static const Methods methods = {
      {"get", get}, {"keys", keys}, {"values", values}, {"items", items}, {"copy", copy}};
  return methods;
}

const Methods& list_methods() {
  static const Methods methods = {
      {"index", index_in_list}, {"count", count_in_list}, {"copy", copy}};
  return methods;
}

Method find_method(const Value& value, std::string_view name) {
  const bool list = value.list() != nullptr && value.list()->kind <= ListKind::kTuple;
  const Methods* methods = value.text() != nullptr   ? &text_methods()
                           : value.dict() != nullptr ? &dict_methods()
                           : list                    ? &list_methods()
                                                     : nullptr;
  if (methods == nullptr) return nullptr;
  const auto it = methods->find(name);
  return it == methods->end() ? nullptr : it->second;
}

class BoundMethod final : public Object {
 public:
  BoundMethod(Value self, Method method) : self_(std::move(self)), method_(method) {}
  std::string describe() const override { return "<built-in method>"; }
  bool callable() const override { return true; }
  Value call(Interpreter& interpreter, const Args& args) const override {
    return method_(interpreter, self_, args);
  }

 private:
  Value self_;
  Method method_;
};

}  // namespace

bool is_method_name(std::string_view name) {
  return text_methods().contains(name) || dict_methods().contains(name) ||
         list_methods().contains(name);
}

bool has_method(const Value& value, std::string_view name) {
  return find_method(value, name) != nullptr;
}

Value call_method(Interpreter& interpreter, const Value& value, std::string_view name,
                  const Args& args) {
  return find_method(value, name)(interpreter, value, args);
}

Value make_bound_method(const Value& value, std::string_view name) {
  return Value::ObjectPtr(std::make_shared<BoundMethod>(value, find_method(value, name)));
}

}  // namespace dejavu::jinja
