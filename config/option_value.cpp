// Texts to fields and back: one place that knows how each kind of value is written.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <sstream>

#include "config/option.h"

namespace dejavu {
namespace {

template <class... F>
struct Overload : F... {
  using F::operator()...;
};

template <class T>
std::optional<T> parse_whole(std::string_view text) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return value;
}

std::string number_text(double value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

template <class T>
std::string range_text(T low, T high, bool above_low = false) {
  std::ostringstream out;
  const bool open_end = high == std::numeric_limits<T>::max();
  out << (above_low ? '(' : '[') << low << ", ";
  if (open_end) {
    out << "...]";
  } else {
    out << high << ']';
  }
  return out.str();
}

tl::unexpected<Error> refused(std::string_view value, const std::string& wanted) {
  return invalid("'" + std::string(value) + "' is not allowed here; use " + wanted);
}

Result<std::int64_t> parse_int(std::string_view text, std::int64_t low, std::int64_t high) {
  const auto value = parse_whole<std::int64_t>(text);
  if (!value || *value < low || *value > high) {
    return refused(text, "a whole number in " + range_text(low, high));
  }
  return *value;
}

Result<double> parse_number(std::string_view text, const OptionalNumberField& range) {
  const auto value = parse_whole<double>(text);
  if (!value || std::isnan(*value) || *value < range.low || *value > range.high ||
      (range.above_low && *value == range.low)) {
    return refused(text, "a number in " + range_text(range.low, range.high, range.above_low));
  }
  return *value;
}

struct Unit {
  std::string_view suffix;
  double factor;
};
// K, M, G and T count in 1024s, as Ki … and KiB … do; KB, MB, GB and TB in 1000s.
constexpr std::array kUnits = {
    Unit{"", 1},         Unit{"B", 1},        Unit{"K", 0x1p10},   Unit{"M", 0x1p20},
    Unit{"G", 0x1p30},   Unit{"T", 0x1p40},   Unit{"Ki", 0x1p10},  Unit{"Mi", 0x1p20},
    Unit{"Gi", 0x1p30},  Unit{"Ti", 0x1p40},  Unit{"KiB", 0x1p10}, Unit{"MiB", 0x1p20},
    Unit{"GiB", 0x1p30}, Unit{"TiB", 0x1p40}, Unit{"KB", 1e3},     Unit{"MB", 1e6},
    Unit{"GB", 1e9},     Unit{"TB", 1e12},
};

constexpr std::string_view kBytesHelp = "bytes, as 1073741824, 512M, 1.5GiB or 2GB";

Result<std::size_t> parse_bytes(std::string_view text) {
  const std::size_t digits = text.find_first_not_of("0123456789.");
  const std::string_view suffix = digits == std::string_view::npos ? "" : text.substr(digits);
  const auto value = parse_whole<double>(text.substr(0, digits));
  for (const Unit& unit : kUnits) {
    if (value && suffix == unit.suffix && *value * unit.factor < 0x1p62) {
      return static_cast<std::size_t>(*value * unit.factor);
    }
  }
  return refused(text, std::string(kBytesHelp));
}

Result<bool> parse_flag(std::string_view text) {
  for (const std::string_view yes : {"true", "1", "yes", "on"}) {
    if (text == yes) return true;
  }
  for (const std::string_view no : {"false", "0", "no", "off"}) {
    if (text == no) return false;
  }
  return refused(text, "true or false");
}

std::string joined(std::span<const std::string_view> items, char separator) {
  std::string out;
  for (const std::string_view item : items) {
    if (!out.empty()) out += separator;
    out += item;
  }
  return out;
}

std::vector<std::string> comma_items(std::span<const std::string> values) {
  std::vector<std::string> items;
  for (const std::string& value : values) {
    std::stringstream parts(value);
    for (std::string part; std::getline(parts, part, ',');) {
      if (!part.empty()) items.push_back(part);
    }
  }
  return items;
}

Result<std::vector<std::string>> text_items(const ListField& field,
                                            std::span<const std::string> values) {
  if (!field.split) return std::vector<std::string>(values.begin(), values.end());
  auto items = comma_items(values);
  for (const std::string& item : items) {
    if (!field.choices.empty() && std::ranges::find(field.choices, item) == field.choices.end()) {
      return refused(item, "some of " + joined(field.choices, '|'));
    }
  }
  return items;
}

Result<std::vector<int>> int_items(const IntListField& field, std::span<const std::string> values) {
  std::vector<int> out;
  for (const std::string& item : comma_items(values)) {
    const auto value = parse_int(item, field.low, field.high);
    if (!value) return tl::unexpected(value.error());
    out.push_back(static_cast<int>(*value));
  }
  return out;
}

// Stores a parsed value or passes its error on.
template <class Target, class Value>
Status store(Target& target, Result<Value> value) {
  if (!value) return tl::unexpected(value.error());
  using Plain = std::remove_cvref_t<Target>;
  target = static_cast<Plain>(*std::move(value));
  return {};
}

}  // namespace

std::string environment_name(const OptionSpec& spec) {
  if (!spec.env.empty()) return std::string(spec.env);
  std::string out = "DEJAVU_";
  for (const char c : spec.name) {
    out += c == '-' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  }
  return out;
}

Status assign(const OptionSpec& spec, std::span<const std::string> values, Config& config) {
  if (const auto* list = std::get_if<ListField>(&spec.field)) {
    return store(list->at(config), text_items(*list, values));
  }
  if (const auto* list = std::get_if<IntListField>(&spec.field)) {
    return store(list->at(config), int_items(*list, values));
  }
  if (values.size() != 1)
    return invalid("one value is expected, not " + std::to_string(values.size()));
  const std::string& text = values.front();
  return std::visit(
      Overload{
          [&](const TextField& f) -> Status {
            f.at(config) = text;
            return {};
          },
          [](const ListField&) -> Status { return {}; },
          [](const IntListField&) -> Status { return {}; },
          [&](const FlagField& f) { return store(f.at(config), parse_flag(text)); },
          [&](const IntField& f) { return store(f.at(config), parse_int(text, f.low, f.high)); },
          [&](const OptionalIntField& f) {
            return store(f.at(config), parse_int(text, f.low, f.high));
          },
          [&](const SeedField& f) {
            return store(f.at(config),
                         parse_int(text, 0, std::numeric_limits<std::int64_t>::max()));
          },
          [&](const BytesField& f) { return store(f.at(config), parse_bytes(text)); },
          [&](const NumberField& f) {
            return store(f.at(config), parse_number(text, {{}, f.low, f.high}));
          },
          [&](const OptionalNumberField& f) { return store(f.at(config), parse_number(text, f)); },
          [&](const ChoiceField& f) -> Status {
            for (std::size_t i = 0; i < f.choices.size(); ++i) {
              if (text == f.choices[i]) {
                f.set(config, i);
                return {};
              }
            }
            return refused(text, "one of " + joined(f.choices, '|'));
          },
          [&](const TextChoiceField& f) -> Status {
            if (std::ranges::find(f.choices, text) == f.choices.end()) {
              return refused(text, "one of " + joined(f.choices, '|'));
            }
            f.at(config) = text;
            return {};
          },
      },
      spec.field);
}

std::string render(const OptionSpec& spec, const Config& config) {
  // Accessors hand out references to mutable fields; rendering reads a copy.
  Config copy = config;
  return std::visit(
      Overload{
          [&](const TextField& f) { return f.at(copy); },
          [&](const ListField& f) {
            const std::vector<std::string>& items = f.at(copy);
            const std::vector<std::string_view> views(items.begin(), items.end());
            return joined(views, ',');
          },
          [&](const FlagField& f) { return std::string(f.at(copy) ? "true" : "false"); },
          [&](const IntField& f) { return std::to_string(f.at(copy)); },
          [&](const IntListField& f) {
            std::string out;
            for (const int item : f.at(copy)) {
              out += (out.empty() ? "" : ",") + std::to_string(item);
            }
            return out;
          },
          [&](const OptionalIntField& f) {
            return f.at(copy) ? std::to_string(*f.at(copy)) : std::string();
          },
          [&](const SeedField& f) { return std::to_string(f.at(copy)); },
          [&](const BytesField& f) { return std::to_string(f.at(copy)); },
          [&](const NumberField& f) { return number_text(f.at(copy)); },
          [&](const OptionalNumberField& f) {
            return f.at(copy) ? number_text(*f.at(copy)) : std::string();
          },
          [&](const ChoiceField& f) { return std::string(f.choices[f.get(copy)]); },
          [&](const TextChoiceField& f) { return f.at(copy); },
      },
      spec.field);
}

std::string allowed_values(const OptionSpec& spec) {
  return std::visit(
      Overload{
          [](const IntField& f) { return range_text(f.low, f.high); },
          [](const IntListField& f) { return range_text(f.low, f.high); },
          [](const OptionalIntField& f) { return range_text(f.low, f.high); },
          [](const NumberField& f) { return range_text(f.low, f.high); },
          [](const OptionalNumberField& f) { return range_text(f.low, f.high, f.above_low); },
          [](const BytesField&) { return std::string(kBytesHelp); },
          [](const ListField& f) { return joined(f.choices, '|'); },
          [](const ChoiceField& f) { return joined(f.choices, '|'); },
          [](const TextChoiceField& f) { return joined(f.choices, '|'); },
          [](const auto&) { return std::string(); },
      },
      spec.field);
}

}  // namespace dejavu
