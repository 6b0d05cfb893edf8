// Settings as text: --print-config and the start-up log.
#include <algorithm>

#include "config/command_line.h"

namespace dejavu {
namespace {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

// The value as TOML; empty when the option is not set.
std::string toml_value(const OptionSpec& spec, const Config& config) {
  const std::string value = render(spec, config);
  if (const auto* list = std::get_if<ListField>(&spec.field)) {
    Config copy = config;
    std::string out;
    for (const std::string& item : list->at(copy)) {
      out += (out.empty() ? "" : ", ") + quoted(spec.secret ? "(secret)" : item);
    }
    return out.empty() ? out : '[' + out + ']';
  }
  const bool text = std::holds_alternative<TextField>(spec.field) ||
                    std::holds_alternative<ChoiceField>(spec.field) ||
                    std::holds_alternative<TextChoiceField>(spec.field);
  return text && !value.empty() ? quoted(value) : value;
}

}  // namespace

std::string flag_name(const OptionSpec& spec) {
  return spec.positional ? "MODEL" : "--" + std::string(spec.name);
}

Source CommandLine::source_of(std::string_view option) const {
  for (const Setting& setting : settings) {
    if (setting.spec->name == option) return setting.source;
  }
  return Source::kDefault;
}

std::string describe_settings(const CommandLine& line) {
  std::string out;
  for (const Setting& setting : line.settings) {
    if (setting.spec->name == "print-config" || setting.spec->name == "config") continue;
    const std::string value = toml_value(*setting.spec, line.config);
    std::string text = value.empty() ? "# " + std::string(setting.spec->name) + ": not set"
                                     : std::string(setting.spec->name) + " = " + value;
    text.resize(std::max<std::size_t>(text.size(), 44), ' ');
    out += text + "  # " + setting.origin + "\n";
  }
  return out;
}

std::string non_default_options(const CommandLine& line) {
  std::string out;
  for (const Setting& setting : line.settings) {
    if (setting.source == Source::kDefault) continue;
    const std::string value =
        setting.spec->secret ? "(secret)" : render(*setting.spec, line.config);
    out += (out.empty() ? "" : " ") +
           (setting.spec->positional ? value : flag_name(*setting.spec) + ' ' + value);
  }
  return out;
}

}  // namespace dejavu
