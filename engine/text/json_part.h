// A value inside a JSON file that knows its own path, so that every error can name it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace dejavu {

// Thrown while a file of this room is read; the loader turns it into an Error with the file's name.
class PartError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class JsonPart {
 public:
  // `value` must outlive the part and everything taken from it.
  explicit JsonPart(const nlohmann::json& value, std::string path = {}, int depth = 0);

  const std::string& path() const { return path_; }
  const nlohmann::json& value() const { return *value_; }

  JsonPart at(std::string_view key) const;                   // must be there
  std::optional<JsonPart> find(std::string_view key) const;  // absent and null are the same
  std::vector<JsonPart> elements() const;                    // of an array

  std::string text() const;
  bool boolean() const;
  std::int64_t integer(std::int64_t low, std::int64_t high) const;

  // Optional keys with a default.
  std::string text_or(std::string_view key, std::string_view otherwise) const;
  bool boolean_or(std::string_view key, bool otherwise) const;

  [[noreturn]] void fail(std::string_view what) const;

 private:
  JsonPart child(const nlohmann::json& value, std::string path) const;

  const nlohmann::json* value_;
  std::string path_;
  int depth_;
};

}  // namespace dejavu
