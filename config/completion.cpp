// The options as a completion script for bash.
#include "config/command_line.h"
#include "config/commands.h"

namespace dejavu {
namespace {

// The values of a closed choice, separated by spaces; empty where anything goes.
std::string choices_of(const OptionSpec& spec) {
  const bool closed = std::holds_alternative<ChoiceField>(spec.field) ||
                      std::holds_alternative<TextChoiceField>(spec.field);
  if (!closed) return {};
  std::string out = allowed_values(spec);
  for (char& c : out) c = c == '|' ? ' ' : c;
  return out;
}

std::string flags_of(const CommandEntry& entry) {
  std::string out = "--help";
  for (const OptionSpec& spec : option_table()) {
    if (takes(entry, spec) && !spec.positional) out += ' ' + flag_name(spec);
  }
  return out;
}

}  // namespace

std::string bash_completion() {
  std::string names = "--help --version";
  std::string flags;
  std::string choices;
  for (const CommandEntry& entry : kCommandTable) {
    if (!is_nested(entry)) names += ' ' + std::string(entry.name);
    flags += "    \"" + std::string(entry.name) + "\") flags=\"" + flags_of(entry) + "\" ;;\n";
  }
  for (const OptionSpec& spec : option_table()) {
    const std::string values = choices_of(spec);
    if (values.empty()) continue;
    choices += "    " + flag_name(spec) + ") values=\"" + values + "\" ;;\n";
  }
  return R"(# bash completion of dejavu, made by dejavu --help-completion.
_dejavu() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
  local command=${COMP_WORDS[1]} flags="" values=""
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W ")" +
         names + R"(" -- "$word"))
    return
  fi
  if [ "$command" = bench ] && [ "${COMP_WORDS[2]}" = serve ]; then command="bench serve"; fi
  # --name value and --name=value, which readline takes apart.
  if [ "$before" = = ]; then before=${COMP_WORDS[COMP_CWORD-2]}; fi
  if [ "$word" = = ]; then
    before=${COMP_WORDS[COMP_CWORD-1]}
    word=""
  fi
  case $before in
)" + choices +
         R"(  esac
  if [ -n "$values" ]; then
    COMPREPLY=($(compgen -W "$values" -- "$word"))
    return
  fi
  case $command in
)" + flags +
         R"(  esac
  case $word in
    -*) COMPREPLY=($(compgen -W "$flags" -- "$word")) ;;
    *) COMPREPLY=($(compgen -f -- "$word")) ;;
  esac
}
complete -o filenames -F _dejavu dejavu
)";
}

}  // namespace dejavu
