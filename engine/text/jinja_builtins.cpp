#include "engine/text/jinja_builtins.h"

#include <map>

#include "engine/text/jinja_strings.h"

namespace dejavu::jinja {
namespace {

const Value& operand(const Args& args) {
  if (args.positional.size() != 1 || !args.named.empty()) {
    throw TemplateError("this test takes one argument");
  }
  return args.positional[0];
}

std::int64_t whole(const Value& v) {
  const auto i = v.integer();
  if (!i) {
    v.require_defined();
    throw TemplateError("this test needs a whole number, not " + v.type_name());
  }
  return *i;
}

bool is_sequence(const Value& v) {
  return v.text() != nullptr || v.dict() != nullptr || v.is_undefined() ||
         (v.list() != nullptr && v.list()->kind <= ListKind::kTuple);
}

bool divisible(const Value& v, const Args& args) {
  const std::int64_t by = whole(operand(args));
  if (by == 0) throw TemplateError("division by zero");
  return by == -1 || whole(v) % by == 0;
}

// A text without letters is neither.
bool is_cased_as(const Value& v, std::string (*change)(std::string_view)) {
  const std::string* s = v.text();
  return s != nullptr && change(*s) == *s && upper(*s) != lower(*s);
}

bool same_as(const Value& a, const Value& b) {
  return a.type_name() == b.type_name() && equals(a, b);
}

const std::map<std::string_view, Test>& tests() {
  static const std::map<std::string_view, Test> all = [] {
    std::map<std::string_view, Test> t;
    t["defined"] = [](const Value& v, const Args&) { return !v.is_undefined(); };
    t["undefined"] = [](const Value& v, const Args&) { return v.is_undefined(); };
    t["none"] = [](const Value& v, const Args&) { return v.is_none(); };
    t["boolean"] = [](const Value& v, const Args&) { return v.is_bool(); };
    t["true"] = [](const Value& v, const Args&) { return v.is_bool() && v.truthy(); };
    t["false"] = [](const Value& v, const Args&) { return v.is_bool() && !v.truthy(); };
    t["integer"] = [](const Value& v, const Args&) { return v.is_integer(); };
    t["float"] = [](const Value& v, const Args&) { return v.is_float(); };
    t["number"] = [](const Value& v, const Args&) { return v.is_number(); };
    t["string"] = [](const Value& v, const Args&) { return v.text() != nullptr; };
    t["mapping"] = [](const Value& v, const Args&) { return v.dict() != nullptr; };
    t["sequence"] = [](const Value& v, const Args&) { return is_sequence(v); };
    t["iterable"] = [](const Value& v, const Args&) {
      return is_sequence(v) || v.list() != nullptr;
    };
    t["callable"] = [](const Value& v, const Args&) {
      return v.object() != nullptr && v.object()->callable();
    };
    t["odd"] = [](const Value& v, const Args&) { return whole(v) % 2 != 0; };
    t["even"] = [](const Value& v, const Args&) { return whole(v) % 2 == 0; };
    t["divisibleby"] = divisible;
    t["lower"] = [](const Value& v, const Args&) { return is_cased_as(v, lower); };
    t["upper"] = [](const Value& v, const Args&) { return is_cased_as(v, upper); };
    t["sameas"] = [](const Value& v, const Args& a) { return same_as(v, operand(a)); };
    t["in"] = [](const Value& v, const Args& a) { return contains(operand(a), v); };
    t["eq"] = [](const Value& v, const Args& a) { return equals(v, operand(a)); };
    t["ne"] = [](const Value& v, const Args& a) { return !equals(v, operand(a)); };
    t["lt"] = [](const Value& v, const Args& a) { return less(v, operand(a)); };
    t["gt"] = [](const Value& v, const Args& a) { return less(operand(a), v); };
    t["le"] = [](const Value& v, const Args& a) {
      return less(v, operand(a)) || equals(v, operand(a));
    };
    t["ge"] = [](const Value& v, const Args& a) {
      return less(operand(a), v) || equals(v, operand(a));
    };
    t["equalto"] = t["=="] = t["eq"];
    t["!="] = t["ne"];
    t["<"] = t["lessthan"] = t["lt"];
    t[">"] = t["greaterthan"] = t["gt"];
    t["<="] = t["le"];
    t[">="] = t["ge"];
    return t;
  }();
  return all;
}

}  // namespace

Test find_test(std::string_view name) {
  const auto it = tests().find(name);
  return it == tests().end() ? nullptr : it->second;
}

Filter find_filter(std::string_view name) {
  const Filter filter = find_text_filter(name);
  return filter != nullptr ? filter : find_list_filter(name);
}

}  // namespace dejavu::jinja
