// The options as a manual page, dejavu(1).
#include "config/command_line.h"
#include "config/commands.h"

namespace dejavu {
namespace {

// Text that roff leaves as it is.
std::string roff(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '-') out += '\\';
    out += c;
  }
  const bool control = out.starts_with('.') || out.starts_with('\'');
  return control ? "\\&" + out : out;
}

std::string synopsis(const CommandEntry& entry) {
  bool model = false;
  for (const OptionSpec& spec : option_table()) model |= spec.positional && takes(entry, spec);
  return ".br\n.B dejavu " + roff(entry.name) + "\n" + (model ? ".RI [ MODEL ]\n" : "") +
         ".RI [ options ]\n";
}

std::string commands_of(const OptionSpec& spec) {
  std::string out;
  for (const CommandEntry& entry : kCommandTable) {
    if (takes(entry, spec)) out += (out.empty() ? "" : ", ") + std::string(entry.name);
  }
  return out;
}

std::string describe(const OptionSpec& spec, const Config& defaults) {
  std::string head = "\\fB" + roff(flag_name(spec)) + "\\fR";
  if (!spec.short_name.empty()) {
    head = "\\fB\\-" + std::string(spec.short_name) + "\\fR, " + head;
  }
  if (const std::string allowed = allowed_values(spec); !allowed.empty()) {
    head += " \\fI" + roff(allowed) + "\\fR";
  }
  std::string out = ".TP\n" + head + "\n" + roff(spec.help) + ".\n";
  if (const std::string value = render(spec, defaults); !value.empty()) {
    out += "Default: " + roff(value) + ".\n";
  }
  return out + "Environment:\n.BR " + environment_name(spec) +
         " .\nCommands: " + roff(commands_of(spec)) + ".\n";
}

}  // namespace

std::string man_page() {
  std::string out = ".TH DEJAVU 1 \"\" \"dejavu " DEJAVU_VERSION
                    "\" \"User Commands\"\n"
                    ".SH NAME\ndejavu \\- serve language models with contextual sparsity\n"
                    ".SH SYNOPSIS\n";
  for (const CommandEntry& entry : kCommandTable) out += synopsis(entry);
  out +=
      ".SH DESCRIPTION\n"
      "Serves decoder-only language models over HTTP (OpenAI's API) and gRPC, reading for each\n"
      "token only the neurons and heads that it uses.\n"
      ".I MODEL\n"
      "is a directory in Hugging Face layout, or org/name[@revision] on the hub; without one, "
      "the\ndemo model is used.\n"
      ".SH COMMANDS\n";
  for (const CommandEntry& entry : kCommandTable) {
    out += ".TP\n.B " + roff(entry.name) + "\n" + roff(entry.about) + ".\n";
  }
  out +=
      ".SH OPTIONS\n"
      "A flag goes before the environment, the environment before the TOML file that\n"
      ".B \\-\\-config\n"
      "names (keys as the options), the file before the default.\n";
  const Config defaults;
  for (const OptionSpec& spec : option_table()) out += describe(spec, defaults);
  out +=
      ".SH FILES\n.TP\n.I /etc/dejavu/dejavu.toml\nOptions of the systemd service.\n"
      ".TP\n.I /etc/dejavu/environment\nIts secrets, as DEJAVU_API_KEY=\\fIkey\\fR.\n"
      ".SH EXIT STATUS\n0 after a clean end, also by SIGTERM; 1 after a failure of the device,\n"
      "or when\n.B health\nfinds no ready daemon; 2 after a mistake in the options or the model.\n"
      ".SH SIGNALS\nSIGTERM and SIGINT: new requests are refused, running ones finish within\n"
      ".BR \\-\\-drain\\-timeout .\nA second one ends the daemon at once.\n";
  return out;
}

}  // namespace dejavu
