// From argv, the environment and a TOML file to a Config: flag > environment > file > default.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "config/config.h"
#include "config/option.h"
#include "engine/core/result.h"

namespace dejavu {

// Where a value came from, weakest first.
enum class Source : std::uint8_t { kDefault, kFile, kEnvironment, kFlag };

struct Setting {
  const OptionSpec* spec = nullptr;
  Source source = Source::kDefault;
  std::string origin;  // "default", the file's name, "DEJAVU_HTTP_PORT", "--port"
};

struct CommandLine {
  Command command = kServe;
  Config config;
  std::vector<Setting> settings;  // every option of the command, in table order
  std::vector<std::string> warnings;
  std::string output;  // not empty (--help, --version, --print-config): print it and stop

  Source source_of(std::string_view option) const;
};

using Environment = std::map<std::string, std::string>;

// The DEJAVU_* variables of an environ-style array.
Environment dejavu_environment(const char* const* environ);

// `args` without the program's name. An error's message is complete: it names the option, the
// source and what is allowed, or the nearest name.
Result<CommandLine> parse_command_line(std::span<const char* const> args, const Environment& env);

// TOML that --config would read (secrets apart), with each value's source as a comment.
std::string describe_settings(const CommandLine& line);
// Every option of every command as a Markdown page: docs/options.md.
std::string options_markdown();
// The same as a manual page (roff), and as a completion script for bash.
std::string man_page();
std::string bash_completion();
// Options that differ from their defaults, as "--port 8080 --dtype float32".
std::string non_default_options(const CommandLine& line);

}  // namespace dejavu
