#include "engine/text/json_part.h"

namespace dejavu {
namespace {

constexpr int kMaxDepth = 64;  // published files need 6

}  // namespace

JsonPart::JsonPart(const nlohmann::json& value, std::string path, int depth)
    : value_(&value), path_(std::move(path)), depth_(depth) {
  if (depth_ > kMaxDepth) fail("is nested too deeply");
}

JsonPart JsonPart::child(const nlohmann::json& value, std::string path) const {
  return JsonPart(value, std::move(path), depth_ + 1);
}

JsonPart JsonPart::at(std::string_view key) const {
  if (!value_->is_object()) fail("must be an object");
  const auto it = value_->find(key);
  if (it == value_->end()) fail("lacks the key '" + std::string(key) + "'");
  return child(*it, path_.empty() ? std::string(key) : path_ + "." + std::string(key));
}

std::optional<JsonPart> JsonPart::find(std::string_view key) const {
  if (!value_->is_object()) fail("must be an object");
  const auto it = value_->find(key);
  if (it == value_->end() || it->is_null()) return std::nullopt;
  return at(key);
}

std::vector<JsonPart> JsonPart::elements() const {
  if (!value_->is_array()) fail("must be an array");
  std::vector<JsonPart> parts;
  parts.reserve(value_->size());
  for (std::size_t i = 0; i < value_->size(); ++i) {
    parts.push_back(child((*value_)[i], path_ + "[" + std::to_string(i) + "]"));
  }
  return parts;
}

std::string JsonPart::text() const {
  if (!value_->is_string()) fail("must be a string");
  return value_->get<std::string>();
}

bool JsonPart::boolean() const {
  if (!value_->is_boolean()) fail("must be true or false");
  return value_->get<bool>();
}

std::int64_t JsonPart::integer(std::int64_t low, std::int64_t high) const {
  const bool too_big = value_->is_number_unsigned() &&
                       value_->get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX);
  if (!value_->is_number_integer() || too_big || value_->get<std::int64_t>() < low ||
      value_->get<std::int64_t>() > high) {
    fail("must be a whole number from " + std::to_string(low) + " to " + std::to_string(high));
  }
  return value_->get<std::int64_t>();
}

std::string JsonPart::text_or(std::string_view key, std::string_view otherwise) const {
  const auto part = find(key);
  return part ? part->text() : std::string(otherwise);
}

bool JsonPart::boolean_or(std::string_view key, bool otherwise) const {
  const auto part = find(key);
  return part ? part->boolean() : otherwise;
}

void JsonPart::fail(std::string_view what) const {
  throw PartError((path_.empty() ? "the file's top level" : "'" + path_ + "'") + " " +
                  std::string(what));
}

}  // namespace dejavu
