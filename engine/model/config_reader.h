// Typed, bounded access to the keys of a config.json. The first fault is kept and every later read
// returns a default, so that a parser reads straight through and asks once.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "engine/core/result.h"

namespace dejavu {

struct IntRange {
  std::int64_t min = 0;
  std::int64_t max = 0;
};

class ConfigReader {
 public:
  // `object` must outlive the reader; `file` begins every message.
  ConfigReader(const nlohmann::json& object, std::string file, std::string prefix = {});

  // True when the key is there, even as null.
  bool contains(std::string_view key) const;
  // True when the key is there and not null. Readers treat null as absent.
  bool has(std::string_view key) const;
  const nlohmann::json& at(std::string_view key) const;  // precondition: has(key)

  // Without a fallback the key is required.
  int integer(std::string_view key, IntRange range, std::optional<int> fallback = {});
  float real(std::string_view key, std::optional<float> fallback = {});
  bool boolean(std::string_view key, bool fallback);
  std::string text(std::string_view key, std::string_view fallback);

  // Records a fault unless one is recorded already.
  void refuse(std::string_view key, std::string_view message);
  // The same for a key whose value is not supported: says what was found and what is supported.
  void unsupported(std::string_view key, std::string_view found, std::string_view supported);
  // A reader of the object at `key`. Precondition: has(key) and it is an object.
  ConfigReader nested(std::string_view key) const;
  // Takes over a nested reader's fault.
  void adopt(const ConfigReader& reader);
  bool failed() const { return error_.has_value(); }
  const std::optional<std::string>& error() const { return error_; }

 private:
  const nlohmann::json& object_;
  std::string file_;
  std::string prefix_;  // of key names in messages, e.g. "rope_scaling."
  std::optional<std::string> error_;
};

}  // namespace dejavu
