// The options as a page of documentation.
#include "config/command_line.h"
#include "config/commands.h"

namespace dejavu {
namespace {

std::string code(const std::string& text) { return text.empty() ? text : '`' + text + '`'; }

// A bar would end the table's cell.
std::string cell(std::string text) {
  for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) {
    text.insert(at, 1, '\\');
  }
  return text;
}

}  // namespace

std::string options_markdown() {
  std::string out =
      "# Options\n\n"
      "Made by `dejavu --help-markdown` from the tables in `config/`. A flag goes before the\n"
      "environment, the environment before the TOML file (`--config FILE`, keys named as the\n"
      "options), the file before the default.\n";
  const Config defaults;
  for (const CommandEntry& command : kCommandTable) {
    out += "\n## dejavu " + std::string(command.name) +
           "\n\n| option | environment | values | default | |\n|---|---|---|---|---|\n";
    for (const OptionSpec& spec : option_table()) {
      if (!takes(command, spec)) continue;
      out += "| " + code(flag_name(spec)) + " | " + code(environment_name(spec)) + " | " +
             cell(allowed_values(spec)) + " | " + code(render(spec, defaults)) + " | " +
             cell(std::string(spec.help)) + " |\n";
    }
  }
  return out;
}

}  // namespace dejavu
