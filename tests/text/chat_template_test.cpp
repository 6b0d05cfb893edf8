#include "engine/text/chat_template.h"

#include <catch2/catch.hpp>
#include <ctime>
#include <fstream>
#include <iterator>

#include "tests/text/golden_texts.h"

namespace dejavu {
namespace {

using Json = nlohmann::ordered_json;
using Catch::Matchers::Contains;

std::string read_template(const std::string& name) {
  const auto path = golden::folder().parent_path() / "templates" / name;
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file.good());
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string compile_error(const std::string& source) {
  const auto compiled = ChatTemplate::compile(source);
  REQUIRE_FALSE(compiled.has_value());
  return compiled.error().message;
}

Result<std::string> render(const std::string& source, const Json& variables = Json::object()) {
  const auto compiled = ChatTemplate::compile(source);
  if (!compiled) return tl::unexpected(compiled.error());
  return (*compiled)->render(variables);
}

TEST_CASE("templates render as jinja2 does with transformers' settings") {
  std::ifstream file(golden::folder() / "templates.json");
  const Json document = Json::parse(file);
  for (const Json& example : document["cases"]) {
    const bool named = example.contains("file");
    const std::string source = named ? read_template(example["file"].get<std::string>())
                                     : example["source"].get<std::string>();
    INFO((named ? example["file"].dump() + example["name"].dump() : Json(source).dump()));
    const Json& variables = named ? example["variables"] : document["variables"];
    const Result<std::string> rendered = render(source, variables);
    if (example.contains("text")) {
      INFO((rendered ? std::string() : rendered.error().message));
      CHECK(rendered.has_value());
      if (rendered) CHECK(*rendered == example["text"].get<std::string>());
    } else {
      CHECK_FALSE(rendered.has_value());
      if (!rendered && example["error"] == "raised") {
        CHECK(rendered.error().message == example["message"].get<std::string>());
      }
    }
  }
}

TEST_CASE("what is not supported is named with its line when the template is compiled") {
  const auto [construct, name] = GENERATE(
      table<std::string, std::string>({{"{% include 'x' %}", "'include'"},
                                       {"{% block b %}{% endblock %}", "'block'"},
                                       {"{% do x %}", "'do'"},
                                       {"{% for a in b recursive %}{% endfor %}", "recursive"},
                                       {"{{ x|urlize }}", "'urlize'"},
                                       {"{{ x|map('urlize') }}", "'urlize'"},
                                       {"{{ x is filter }}", "'filter'"},
                                       {"{{ x|selectattr('a', 'filter') }}", "'filter'"},
                                       {"{{ cycler(1) }}", "'cycler'"},
                                       {"{{ x.encode() }}", "'encode'"},
                                       {"{{ range(*x) }}", "'*'"},
                                       {"{{ 1 ? 2 }}", "'?'"}}));
  const std::string message = compile_error("first\n{% if false %}\n" + construct + "{% endif %}");
  CHECK_THAT(message, Contains("line 3"));
  CHECK_THAT(message, Contains(name));
}

TEST_CASE("a template that never ends is stopped") {
  const std::string endless = GENERATE(
      "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor "
      "%}",
      "{% set n = namespace(x=[]) %}{% for i in range(9999) %}{% set n.x = [n.x] %}{% endfor %}",
      "{% for a in range(99999) %}{% for b in range(99) %}{{ 'x' * 1000 }}{% endfor %}{% endfor %}",
      "{{ 'x' * 999999999999 }}", "{{ [1] * 999999999999 }}", "{{ 10 ** 99 }}");
  const auto rendered = render(endless);
  INFO(endless);
  REQUIRE_FALSE(rendered.has_value());
  CHECK(rendered.error().code == ErrorCode::kInvalidArgument);
}

TEST_CASE("sources that nest deeply are refused") {
  constexpr std::size_t kDeep = 100'000;
  std::string source;
  SECTION("parentheses") { source = "{{ " + std::string(kDeep, '(') + " }}"; }
  SECTION("lists") { source = "{{ " + std::string(kDeep, '[') + " }}"; }
  SECTION("not") {
    source = "{{ ";
    for (std::size_t i = 0; i < kDeep; ++i) source += "not ";
    source += "x }}";
  }
  SECTION("signs") { source = "{{ " + std::string(kDeep, '-') + "x }}"; }
  SECTION("sums") {
    source = "{{ 1";
    for (std::size_t i = 0; i < kDeep; ++i) source += "+1";
    source += " }}";
  }
  SECTION("blocks") {
    for (std::size_t i = 0; i < kDeep; ++i) source += "{% if x %}";
  }
  CHECK_FALSE(ChatTemplate::compile(source).has_value());
}

TEST_CASE("deeply nested messages are refused") {
  Json nested = 1;
  for (int i = 0; i < 5'000; ++i) nested = Json::array({std::move(nested)});
  CHECK_FALSE(render("{{ x }}", {{"x", std::move(nested)}}).has_value());
}

TEST_CASE("namespaces and macros that hold themselves do not leak") {
  CHECK(render("{% set n = namespace() %}{% set n.n = n %}{% macro m() %}{% endmacro %}"
               "{% set n.m = m %}{{ n.n.n.m() }}x") == "x");
}

TEST_CASE("strftime_now formats the local time") {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  CHECK(render("{{ strftime_now('%Y') }}") == std::to_string(local.tm_year + 1900));
}

TEST_CASE("raise_exception's message is the error's") {
  const auto rendered = render("{{ raise_exception('roles must alternate') }}");
  REQUIRE_FALSE(rendered.has_value());
  CHECK(rendered.error().message == "roles must alternate");
  CHECK(rendered.error().code == ErrorCode::kInvalidArgument);
}

TEST_CASE("a damaged template is an error, never a crash") {
  for (const char* name : {"llama3.jinja", "qwen3.jinja", "macros.jinja"}) {
    const std::string source = read_template(name);
    for (std::size_t i = 0; i < source.size(); i += 7) {
      static_cast<void>(render(source.substr(0, i), {{"messages", Json::array()}}));
      std::string changed = source;
      changed.erase(i, 1 + i % 5);
      static_cast<void>(render(changed, {{"messages", {{{"role", "user"}, {"content", "x"}}}}}));
    }
  }
}

}  // namespace
}  // namespace dejavu
