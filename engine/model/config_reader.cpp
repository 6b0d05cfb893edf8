#include "engine/model/config_reader.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

namespace dejavu {
namespace {

std::string shown(const nlohmann::json& value) {
  std::string text = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  constexpr std::size_t kLongest = 80;
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "...";
  return text;
}

}  // namespace

ConfigReader::ConfigReader(const nlohmann::json& object, std::string file, std::string prefix)
    : object_(object), file_(std::move(file)), prefix_(std::move(prefix)) {}

bool ConfigReader::contains(std::string_view key) const { return object_.contains(key); }

bool ConfigReader::has(std::string_view key) const {
  const auto it = object_.find(key);
  return it != object_.end() && !it->is_null();
}

const nlohmann::json& ConfigReader::at(std::string_view key) const { return *object_.find(key); }

void ConfigReader::refuse(std::string_view key, std::string_view message) {
  if (error_) return;
  error_ = file_ + ": " + prefix_ + std::string(key) + " " + std::string(message);
}

void ConfigReader::unsupported(std::string_view key, std::string_view found,
                               std::string_view supported) {
  refuse(key,
         "'" + std::string(found) + "' is not supported; supported: " + std::string(supported));
}

ConfigReader ConfigReader::nested(std::string_view key) const {
  return {at(key), file_, prefix_ + std::string(key) + "."};
}

void ConfigReader::adopt(const ConfigReader& reader) {
  if (!error_) error_ = reader.error_;
}

int ConfigReader::integer(std::string_view key, IntRange range, std::optional<int> fallback) {
  if (!has(key)) {
    if (!fallback) refuse(key, "is missing; it must be an integer");
    return fallback.value_or(1);
  }
  const nlohmann::json& value = at(key);
  const bool small = value.is_number_unsigned()
                         ? value.get<std::uint64_t>() <= static_cast<std::uint64_t>(range.max)
                         : value.is_number_integer();
  const std::int64_t number = small ? value.get<std::int64_t>() : 0;
  if (!small || number < range.min || number > range.max) {
    refuse(key, "is " + shown(value) + "; it must be an integer from " + std::to_string(range.min) +
                    " to " + std::to_string(range.max));
    return 1;
  }
  return static_cast<int>(number);
}

float ConfigReader::real(std::string_view key, std::optional<float> fallback) {
  if (!has(key)) {
    if (!fallback) refuse(key, "is missing; it must be a number");
    return fallback.value_or(1.0F);
  }
  const nlohmann::json& value = at(key);
  const float number = value.is_number() ? value.get<float>() : std::nanf("");
  if (!std::isfinite(number)) {
    refuse(key, "is " + shown(value) + "; it must be a finite number");
    return 1.0F;
  }
  return number;
}

bool ConfigReader::boolean(std::string_view key, bool fallback) {
  if (!has(key)) return fallback;
  if (!at(key).is_boolean()) {
    refuse(key, "is " + shown(at(key)) + "; it must be true or false");
    return fallback;
  }
  return at(key).get<bool>();
}

std::string ConfigReader::text(std::string_view key, std::string_view fallback) {
  if (!has(key)) return std::string(fallback);
  if (!at(key).is_string()) {
    refuse(key, "is " + shown(at(key)) + "; it must be a string");
    return std::string(fallback);
  }
  return at(key).get<std::string>();
}

}  // namespace dejavu
