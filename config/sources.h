// What a TOML file and the environment say, as texts by option name.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "config/command_line.h"

namespace dejavu {

using RawValues = std::map<std::string, std::vector<std::string>>;  // option name → its texts

// Errors name the file, the line and the key; an unknown key is one.
Result<RawValues> read_toml(const std::string& path);

// Names that are no option of ours are collected in `warnings`: Kubernetes sets DEJAVU_PORT and
// others beside a Service called dejavu.
RawValues read_environment(const Environment& env, std::vector<std::string>& warnings);

}  // namespace dejavu
