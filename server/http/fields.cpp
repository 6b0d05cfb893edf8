#include "server/http/fields.h"

#include <cmath>
#include <utility>

namespace dejavu {
namespace {

using nlohmann::ordered_json;

std::string describe(IntRange range) {
  const IntRange all;
  if (range.low != all.low && range.high != all.high)
    return "an integer from " + std::to_string(range.low) + " to " + std::to_string(range.high);
  if (range.low != all.low) return "an integer of at least " + std::to_string(range.low);
  return "an integer";
}

}  // namespace

std::optional<std::int64_t> as_integer(const ordered_json& value, IntRange range) {
  constexpr double kExactBelow = 9007199254740992.0;  // 2^53
  std::int64_t integer = 0;
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return {};
    integer = static_cast<std::int64_t>(number);
  } else if (value.is_number_integer()) {
    integer = value.get<std::int64_t>();
  } else if (value.is_number_float()) {
    const auto number = value.get<double>();
    if (std::abs(number) > kExactBelow || number != std::floor(number)) return {};
    integer = static_cast<std::int64_t>(number);
  } else {
    return {};
  }
  if (integer < range.low || integer > range.high) return {};
  return integer;
}

const ordered_json* Fields::any(const char* name) const {
  if (!ok()) return nullptr;
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::optional<bool> Fields::boolean(const char* name) {
  const Json* value = any(name);
  if (value == nullptr) return {};
  if (value->is_boolean()) return value->get<bool>();
  refuse(name, "must be true or false");
  return {};
}

std::optional<std::int64_t> Fields::integer(const char* name, IntRange range) {
  const Json* value = any(name);
  if (value == nullptr) return {};
  const auto integer = as_integer(*value, range);
  if (!integer) refuse(name, "must be " + describe(range));
  return integer;
}

std::optional<float> Fields::number(const char* name) {
  const Json* value = any(name);
  if (value == nullptr) return {};
  if (value->is_number()) {
    const auto number = value->get<double>();
    if (std::abs(number) <= static_cast<double>(std::numeric_limits<float>::max()))
      return static_cast<float>(number);
  }
  refuse(name, "must be a number");
  return {};
}

std::optional<std::string> Fields::text(const char* name) {
  const Json* value = any(name);
  if (value == nullptr) return {};
  if (value->is_string()) return value->get<std::string>();
  refuse(name, "must be a string");
  return {};
}

std::vector<std::string> Fields::text_list(const char* name) {
  std::vector<std::string> list;
  const Json* values = array(name);
  if (values == nullptr) return list;
  for (const Json& value : *values) {
    if (!value.is_string()) {
      refuse(name, "must be a list of strings");
      return {};
    }
    list.push_back(value.get<std::string>());
  }
  return list;
}

std::vector<std::int32_t> Fields::token_ids(const char* name) {
  std::vector<std::int32_t> ids;
  const Json* values = array(name);
  if (values == nullptr) return ids;
  ids.reserve(values->size());
  for (const Json& value : *values) {
    const auto id = as_integer(value, kTokenIds);
    if (!id) {
      refuse(name, "must be a list of token ids");
      return {};
    }
    ids.push_back(static_cast<std::int32_t>(*id));
  }
  return ids;
}

const ordered_json* Fields::object(const char* name) {
  const Json* value = any(name);
  if (value == nullptr || value->is_object()) return value;
  refuse(name, "must be an object");
  return nullptr;
}

const ordered_json* Fields::array(const char* name) {
  const Json* value = any(name);
  if (value == nullptr || value->is_array()) return value;
  refuse(name, "must be a list");
  return nullptr;
}

void Fields::refuse(const std::string& name, const std::string& message, std::string code) {
  if (!ok()) return;
  const std::string param = path_ + name;
  error_ = Error{ErrorCode::kInvalidArgument, param + " " + message + ".", param, std::move(code)};
}

void Fields::refuse(Error error) {
  if (ok()) error_ = std::move(error);
}

}  // namespace dejavu
