#include "engine/text/vocabulary.h"

namespace dejavu {

bool Vocabulary::add(std::string_view token, std::int32_t id) {
  const auto known = ids_.find(token);
  if (known != ids_.end()) return known->second == id;
  if (has(id)) return false;
  const auto index = static_cast<std::size_t>(id);
  if (index >= tokens_.size()) tokens_.resize(index + 1);
  tokens_[index] = std::string(token);
  ids_.emplace(token, id);
  return true;
}

std::optional<std::int32_t> Vocabulary::id(std::string_view token) const {
  const auto it = ids_.find(token);
  if (it == ids_.end()) return std::nullopt;
  return it->second;
}

bool Vocabulary::has(std::int32_t id) const {
  return id >= 0 && id < size() && tokens_[static_cast<std::size_t>(id)].has_value();
}

std::string_view Vocabulary::token(std::int32_t id) const {
  return has(id) ? std::string_view(*tokens_[static_cast<std::size_t>(id)]) : std::string_view();
}

}  // namespace dejavu
