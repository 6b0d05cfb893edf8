#include "engine/text/chat_template.h"

#include "engine/text/jinja_ast.h"
#include "engine/text/jinja_interpreter.h"
#include "engine/text/jinja_parser.h"

namespace dejavu {
namespace {

constexpr std::size_t kMaxSource = std::size_t{1} << 20;
constexpr int kMaxJsonDepth = 100;

std::shared_ptr<jinja::Dict> to_dict(const nlohmann::ordered_json& json, int depth);

jinja::Value to_value(const nlohmann::ordered_json& json, int depth) {
  if (depth > kMaxJsonDepth) throw jinja::TemplateError("the messages are nested too deeply");
  switch (json.type()) {
    case nlohmann::json::value_t::boolean:
      return json.get<bool>();
    case nlohmann::json::value_t::number_unsigned:
      if (json.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX)) {
        return static_cast<double>(json.get<std::uint64_t>());
      }
      return json.get<std::int64_t>();
    case nlohmann::json::value_t::number_integer:
      return json.get<std::int64_t>();
    case nlohmann::json::value_t::number_float:
      return json.get<double>();
    case nlohmann::json::value_t::string:
      return json.get<std::string>();
    case nlohmann::json::value_t::array: {
      std::vector<jinja::Value> items;
      items.reserve(json.size());
      for (const auto& item : json) items.push_back(to_value(item, depth + 1));
      return jinja::Value::list(std::move(items));
    }
    case nlohmann::json::value_t::object:
      return jinja::Value::DictPtr(to_dict(json, depth));
    case nlohmann::json::value_t::null:
    case nlohmann::json::value_t::binary:
    case nlohmann::json::value_t::discarded:
      break;
  }
  return {};
}

std::shared_ptr<jinja::Dict> to_dict(const nlohmann::ordered_json& json, int depth) {
  auto dict = std::make_shared<jinja::Dict>();
  for (const auto& [key, value] : json.items()) {
    dict->set(jinja::Value(key), to_value(value, depth + 1));
  }
  return dict;
}

class JinjaTemplate final : public ChatTemplate {
 public:
  explicit JinjaTemplate(jinja::Body body) : body_(std::move(body)) {}

  Result<std::string> render(const nlohmann::ordered_json& variables) const override {
    if (!variables.is_object()) return invalid("the chat template's variables must be an object");
    int line = 0;
    try {
      jinja::Interpreter interpreter(*to_dict(variables, 0));
      try {
        std::string out;
        jinja::render_body(body_, interpreter, out);
        return out;
      } catch (const jinja::TemplateError&) {
        line = interpreter.line();
        throw;
      }
    } catch (const jinja::RaisedError& e) {
      return invalid(e.what(), "messages");
    } catch (const jinja::TemplateError& e) {
      return invalid("the chat template cannot render these messages (line " +
                         std::to_string(line) + " of the template): " + e.what(),
                     "messages");
    }
  }

 private:
  jinja::Body body_;
};

}  // namespace

Result<std::shared_ptr<const ChatTemplate>> ChatTemplate::compile(std::string_view source) {
  if (source.size() > kMaxSource) {
    return invalid("the chat template is larger than " + std::to_string(kMaxSource >> 10) + " KiB");
  }
  try {
    return std::make_shared<const JinjaTemplate>(jinja::Parser(jinja::tokenize(source)).parse());
  } catch (const jinja::TemplateError& e) {
    return invalid(std::string("chat template, ") + e.what());
  }
}

}  // namespace dejavu
