#include "config/command_line.h"

#include <CLI/CLI.hpp>
#include <deque>

#include "config/commands.h"
#include "config/sources.h"
#include "config/suggest.h"

namespace dejavu {
namespace {

constexpr std::string_view kAbout =
    "dejavu serves decoder-only language models over HTTP and gRPC.\n"
    "Options also come from the environment (DEJAVU_MAX_NUM_SEQS) and from a TOML file (--config).";

// CLI11's help, with flags that can be negated written as --[no-]name.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(36); }
  std::string make_option_name(const CLI::Option* option, bool positional) const override {
    if (option->get_fnames().empty()) return CLI::Formatter::make_option_name(option, positional);
    return "--[no-]" + option->get_lnames().front();
  }
  // CLI11 shows every list as VALUE ..., also one that takes a single word at a time.
  std::string make_option_opts(const CLI::Option* option) const override {
    constexpr std::string_view kMore = " ...";
    std::string text = CLI::Formatter::make_option_opts(option);
    const std::size_t more = text.rfind(kMore);
    if (more != std::string::npos && !option->get_allow_extra_args())
      text.erase(more, kMore.size());
    return text;
  }
};

// The parser of one sub-command. CLI11 splits the words; values are checked by assign(), as those
// of every other source are.
class CommandParser {
 public:
  CommandParser(CLI::App& parent, const CommandEntry& entry) : command_(entry.command) {
    const std::string_view word = entry.name.substr(entry.name.find(' ') + 1);
    app_ = parent.add_subcommand(std::string(word), std::string(entry.about));
    app_->allow_extras();
    const Config defaults;
    for (const OptionSpec& option : option_table()) {
      has_positional_ |= option.positional && (option.commands & command_) != 0;
    }
    for (const OptionSpec& option : option_table()) {
      if ((option.commands & command_) != 0) add(option, defaults);
    }
  }

  CLI::App& app() { return *app_; }
  Command command() const { return command_; }

  std::vector<std::string> flag_names() const {
    std::vector<std::string> names = {"--help"};
    for (const auto& [spec, option] : options_) {
      if (!spec->positional) names.push_back(flag_name(*spec));
    }
    return names;
  }

  RawValues values() const {
    RawValues out;
    for (const auto& [spec, option] : options_) {
      if (option->count() == 0) continue;
      // A repeated scalar: the last one holds. Two models are a mistake.
      const bool every = spec->positional || std::holds_alternative<ListField>(spec->field);
      out[std::string(spec->name)] = every ? option->results() : option->reduced_results();
    }
    return out;
  }

 private:
  void add(const OptionSpec& spec, const Config& defaults) {
    const std::string help = std::string(spec.help) + " [" + environment_name(spec) + "]";
    CLI::Option* option = nullptr;
    if (std::holds_alternative<FlagField>(spec.field)) {
      option = app_->add_flag(flag_name(spec) + ",!--no-" + std::string(spec.name), help);
    } else if (std::holds_alternative<ListField>(spec.field)) {
      option = app_->add_option(names(spec), lists_.emplace_back(), help);
      // Several words after one flag are only clear where no MODEL can follow.
      option->allow_extra_args(!has_positional_);
    } else {
      option = app_->add_option(names(spec), texts_.emplace_back(), help);
      option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    }
    option->type_name(type_name(spec));
    const std::string value = render(spec, defaults);
    if (!value.empty()) option->default_str(value);
    options_.emplace_back(&spec, option);
  }

  static std::string type_name(const OptionSpec& spec) {
    if (std::holds_alternative<BytesField>(spec.field)) return "BYTES";
    const std::string allowed = allowed_values(spec);
    const bool worded = spec.positional || std::holds_alternative<FlagField>(spec.field);
    return allowed.empty() && !worded ? "TEXT" : allowed;
  }

  static std::string names(const OptionSpec& spec) {
    const std::string shortened =
        spec.short_name.empty() ? "" : "-" + std::string(spec.short_name) + ",";
    return shortened + flag_name(spec);
  }

  Command command_;
  CLI::App* app_ = nullptr;
  bool has_positional_ = false;
  std::vector<std::pair<const OptionSpec*, CLI::Option*>> options_;
  // CLI11 stores into these too; values() is what is read.
  std::deque<std::string> texts_;
  std::deque<std::vector<std::string>> lists_;
};

// The first word nobody knew, as an error with the nearest name.
Status check_leftover(const std::vector<std::string>& words,
                      const std::vector<std::string>& flags) {
  for (const std::string& word : words) {
    if (!word.starts_with('-')) return invalid("unexpected argument '" + word + "'");
    const std::string flag = word.substr(0, word.find('='));
    return invalid("unknown option " + flag + suggestion(flag, flags), flag);
  }
  return {};
}

struct Layer {
  Source source;
  RawValues values;
  std::string file;  // kFile
};

std::string origin_of(const Layer& layer, const OptionSpec& spec) {
  if (layer.source == Source::kFile) return layer.file;
  if (layer.source == Source::kEnvironment) return environment_name(spec);
  return flag_name(spec);
}

Status apply(const Layer& layer, CommandLine& line) {
  for (Setting& setting : line.settings) {
    const auto found = layer.values.find(std::string(setting.spec->name));
    if (found == layer.values.end()) continue;
    const std::string origin = origin_of(layer, *setting.spec);
    if (const Status done = assign(*setting.spec, found->second, line.config); !done) {
      const std::string from = layer.source == Source::kFlag ? "" : " (from " + origin + ")";
      return invalid(flag_name(*setting.spec) + from + ": " + done.error().message,
                     std::string(setting.spec->name));
    }
    setting.source = layer.source;
    setting.origin = origin;
  }
  return {};
}

// The file that the flag or the environment names; it cannot name another one itself.
std::string config_file(const RawValues& flags, const RawValues& environment) {
  for (const RawValues* values : {&flags, &environment}) {
    if (const auto found = values->find("config"); found != values->end()) {
      return found->second.back();
    }
  }
  return {};
}

Status apply_layers(const RawValues& flags, const Environment& env, CommandLine& line) {
  const RawValues environment = read_environment(env, line.warnings);
  std::vector<Layer> layers;
  if (const std::string path = config_file(flags, environment); !path.empty()) {
    auto values = read_toml(path);
    if (!values) return tl::unexpected(values.error());
    layers.push_back({Source::kFile, *std::move(values), path});
  }
  layers.push_back({Source::kEnvironment, environment, {}});
  layers.push_back({Source::kFlag, flags, {}});
  for (const Layer& layer : layers) {
    if (const Status done = apply(layer, line); !done) return done;
  }
  // Both servers listen on one host, know the same keys and take messages of the same size.
  line.config.grpc.host = line.config.http.host;
  line.config.grpc.api_keys = line.config.http.api_keys;
  line.config.grpc.max_message_bytes = line.config.http.max_body_bytes;
  return {};
}

}  // namespace

Environment dejavu_environment(const char* const* environ) {
  Environment out;
  for (const char* const* entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos || !text.starts_with("DEJAVU_")) continue;
    out.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return out;
}

Result<CommandLine> parse_command_line(std::span<const char* const> args, const Environment& env) {
  CLI::App app{std::string(kAbout), "dejavu"};
  app.require_subcommand(0, 1);
  app.allow_extras();
  app.formatter(std::make_shared<HelpFormatter>());
  app.set_version_flag("--version", std::string("dejavu ") + DEJAVU_VERSION);
  bool markdown = false;
  bool man = false;
  bool completion = false;
  app.add_flag("--help-markdown", markdown, "Print every option of every command as Markdown");
  app.add_flag("--help-man", man, "Print the manual page");
  app.add_flag("--help-completion", completion, "Print a completion script for bash");
  std::deque<CommandParser> parsers;
  for (const CommandEntry& entry : kCommandTable) {
    if (!is_nested(entry)) {
      parsers.emplace_back(app, entry);
    } else {  // of the command before it
      CLI::App& parent = parsers.back().app();
      parent.require_subcommand(0, 1);
      parsers.emplace_back(parent, entry);
    }
  }

  CommandLine line;
  try {
    // CLI11 takes the words from the back.
    app.parse(std::vector<std::string>(std::make_reverse_iterator(args.end()),
                                       std::make_reverse_iterator(args.begin())));
  } catch (const CLI::CallForHelp&) {
    line.output = app.help();
    return line;
  } catch (const CLI::CallForVersion&) {
    line.output = app.version() + "\n";
    return line;
  } catch (const CLI::ParseError& error) {
    return invalid(error.what());
  }
  CommandParser* chosen = nullptr;
  for (CommandParser& parser : parsers) {
    if (parser.app().parsed()) chosen = &parser;  // nested ones come last
  }
  if (markdown || man || completion) {
    line.output = markdown ? options_markdown() : man ? man_page() : bash_completion();
    return line;
  }
  if (chosen == nullptr) {
    std::vector<std::string> names = {"--help", "--version"};
    for (const CommandEntry& entry : kCommandTable) {
      if (!is_nested(entry)) names.emplace_back(entry.name);
    }
    const std::string word = args.empty() ? "" : args.front();
    return invalid(word.empty() ? "say what to do, as in: dejavu serve (see dejavu --help)"
                                : "unknown command " + word + suggestion(word, names));
  }
  line.command = chosen->command();
  if (const Status known = check_leftover(app.remaining(true), chosen->flag_names()); !known) {
    return tl::unexpected(known.error());
  }
  for (const OptionSpec& spec : option_table()) {
    if ((spec.commands & line.command) != 0) {
      line.settings.push_back({&spec, Source::kDefault, "default"});
    }
  }
  if (const Status done = apply_layers(chosen->values(), env, line); !done) {
    return tl::unexpected(done.error());
  }
  if (line.config.file.print_config) line.output = describe_settings(line);
  return line;
}

}  // namespace dejavu
