#include "config/sources.h"

#include <toml++/toml.h>

#include <algorithm>
#include <sstream>

#include "config/suggest.h"
#include "engine/core/read_file.h"

namespace dejavu {
namespace {

std::vector<std::string> option_names() {
  std::vector<std::string> names;
  for (const OptionSpec& spec : option_table()) names.emplace_back(spec.name);
  return names;
}

// A scalar as it would be typed; nothing for tables, dates and the like.
std::optional<std::string> scalar_text(const toml::node& node) {
  if (const auto text = node.value_exact<std::string>()) return *text;
  if (const auto flag = node.value_exact<bool>()) return *flag ? "true" : "false";
  if (const auto whole = node.value_exact<std::int64_t>()) return std::to_string(*whole);
  if (const auto number = node.value_exact<double>()) {
    std::ostringstream out;
    out.precision(17);
    out << *number;
    return out.str();
  }
  return std::nullopt;
}

std::optional<std::vector<std::string>> texts(const toml::node& node) {
  std::vector<std::string> out;
  if (const toml::array* items = node.as_array()) {
    for (const toml::node& item : *items) {
      const auto text = scalar_text(item);
      if (!text) return std::nullopt;
      out.push_back(*text);
    }
    return out;
  }
  const auto text = scalar_text(node);
  if (!text) return std::nullopt;
  out.push_back(*text);
  return out;
}

// What Kubernetes puts into variables it makes for a Service.
bool is_service_link(const std::string& value) {
  return value.starts_with("tcp://") || value.starts_with("udp://");
}

}  // namespace

Result<RawValues> read_toml(const std::string& path) {
  const auto text = read_file(path);
  if (!text) return invalid("--config " + text.error().message, "config");
  toml::table table;
  try {
    table = toml::parse(*text, path);
  } catch (const toml::parse_error& error) {
    return invalid(path + ':' + std::to_string(error.source().begin.line) + ": " +
                       std::string(error.description()),
                   "config");
  }
  const std::vector<std::string> names = option_names();
  RawValues out;
  for (const auto& [key, node] : table) {
    std::string name(key.str());
    std::replace(name.begin(), name.end(), '_', '-');
    const std::string where =
        path + ':' + std::to_string(node.source().begin.line) + ": " + std::string(key.str());
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      return invalid(where + " is not an option" + suggestion(name, names), name);
    }
    const auto values = texts(node);
    if (!values) return invalid(where + ": write a text, number, boolean or a list of them", name);
    out[name] = *values;
  }
  return out;
}

RawValues read_environment(const Environment& env, std::vector<std::string>& warnings) {
  RawValues out;
  Environment left = env;
  for (const OptionSpec& spec : option_table()) {
    const auto found = left.find(environment_name(spec));
    if (found == left.end()) continue;
    if (!is_service_link(found->second)) {
      if (!found->second.empty()) out[std::string(spec.name)] = {found->second};
      left.erase(found);
    }
  }
  std::string ignored;
  for (const auto& [name, value] : left) ignored += (ignored.empty() ? "" : ", ") + name;
  if (!ignored.empty()) {
    warnings.push_back("environment variables that are no options are ignored: " + ignored +
                       " (the HTTP port is DEJAVU_HTTP_PORT)");
  }
  return out;
}

}  // namespace dejavu
