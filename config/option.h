// One option, declared once (config/option_table.cpp): its name, the field it fills, its range,
// help and the sub-commands that take it. Its default is what the field holds in a fresh Config;
// its environment name follows from its name.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/config.h"
#include "engine/core/result.h"

namespace dejavu {

// Sub-commands, as bits: an option may belong to several.
enum Command : unsigned {
  kServe = 1U << 0U,
  kGenerate = 1U << 1U,
  kBench = 1U << 2U,
  kBenchServe = 1U << 3U,
  kHealth = 1U << 4U,
  kPlan = 1U << 5U,
  kAnalyze = 1U << 6U,
  kEvaluate = 1U << 7U,
  kCalibrate = 1U << 8U,
};

// How a value is written and which field it fills. Each accessor names one field of Config.
struct TextField {
  std::string& (*at)(Config&);
};
struct ListField {  // repeatable
  std::vector<std::string>& (*at)(Config&);
  bool split = true;                           // commas separate items within one value
  std::vector<std::string_view> choices = {};  // what an item may be; empty: anything
};
struct FlagField {  // --name, --name=false
  bool& (*at)(Config&);
};
struct IntField {
  int& (*at)(Config&);
  std::int64_t low, high;
};
struct IntListField {  // --batch 1,16
  std::vector<int>& (*at)(Config&);
  int low, high;
};
struct OptionalIntField {
  std::optional<std::int64_t>& (*at)(Config&);
  std::int64_t low, high;
};
struct SeedField {
  std::uint64_t& (*at)(Config&);
};
struct BytesField {  // 512M, 2GiB; 0 = chosen by the program
  std::size_t& (*at)(Config&);
};
struct NumberField {
  double& (*at)(Config&);
  double low, high;
};
struct OptionalNumberField {
  std::optional<double>& (*at)(Config&);
  double low, high;
  bool above_low = false;  // the range is (low, high]
};
struct ChoiceField {  // the value's index among `choices`
  std::vector<std::string_view> choices;
  std::size_t (*get)(const Config&);
  void (*set)(Config&, std::size_t);
};

struct TextChoiceField {  // the value is the text itself
  std::string& (*at)(Config&);
  std::vector<std::string_view> choices;
};

using Field = std::variant<TextField, ListField, FlagField, IntField, IntListField,
                           OptionalIntField, SeedField, BytesField, NumberField,
                           OptionalNumberField, ChoiceField, TextChoiceField>;

struct OptionSpec {
  std::string_view name;  // "max-num-seqs"
  unsigned commands = 0;  // Command bits
  Field field;
  std::string_view help;
  std::string_view env = {};         // where the environment name is not DEJAVU_ + NAME
  std::string_view short_name = {};  // "p" for -p
  bool positional = false;           // MODEL
  bool secret = false;               // never printed
};

// The only list of options. Order is that of --help.
std::span<const OptionSpec> option_table();

inline constexpr unsigned kEveryCommand =
    kServe | kGenerate | kBench | kBenchServe | kHealth | kPlan | kAnalyze | kEvaluate | kCalibrate;

// "--max-num-seqs", or "MODEL".
std::string flag_name(const OptionSpec& spec);
std::string environment_name(const OptionSpec& spec);

// Writes `values` (one text, or a list's items) into the option's field. The error says what is
// wrong and which values are allowed; the caller puts the option's name in front.
Status assign(const OptionSpec& spec, std::span<const std::string> values, Config& config);
// The field's value as one could write it on the command line.
std::string render(const OptionSpec& spec, const Config& config);
// "[1, 65535]", "auto|cpu|cuda", …; empty where anything goes.
std::string allowed_values(const OptionSpec& spec);

}  // namespace dejavu
