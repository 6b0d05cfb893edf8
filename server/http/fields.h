// Typed reading of a JSON object's fields. null counts as absent. The first error is kept, and
// everything read after it comes back absent, so that a parser reads straight on and checks once.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/result.h"

namespace dejavu {

struct IntRange {
  std::int64_t low = std::numeric_limits<std::int64_t>::min();
  std::int64_t high = std::numeric_limits<std::int64_t>::max();
};
inline constexpr IntRange kTokenIds{0, std::numeric_limits<std::int32_t>::max()};

// An integer, also one written as 3.0; nothing when `value` is none or lies outside.
std::optional<std::int64_t> as_integer(const nlohmann::ordered_json& value, IntRange range);

class Fields {
 public:
  using Json = nlohmann::ordered_json;

  // `object` must outlive the reader. `path` goes before field names in errors ("messages[0].").
  explicit Fields(const Json& object, std::string path = {})
      : object_(object), path_(std::move(path)) {}

  std::optional<bool> boolean(const char* name);
  std::optional<std::int64_t> integer(const char* name, IntRange range = {});
  std::optional<float> number(const char* name);
  std::optional<std::string> text(const char* name);
  std::vector<std::string> text_list(const char* name);  // strings
  std::vector<std::int32_t> token_ids(const char* name);
  // Null when absent.
  const Json* any(const char* name) const;
  const Json* object(const char* name);
  const Json* array(const char* name);

  void refuse(const std::string& name, const std::string& message, std::string code = {});
  // Takes over an error from another reader.
  void refuse(Error error);
  bool ok() const { return !error_.has_value(); }
  const Error& error() const { return *error_; }

 private:
  const Json& object_;
  std::string path_;
  std::optional<Error> error_;
};

}  // namespace dejavu
