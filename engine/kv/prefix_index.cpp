#include "engine/kv/prefix_index.h"

#include <openssl/sha.h>

#include <cstring>

#include "engine/backend/backend.h"

namespace dejavu {

PrefixChain::PrefixChain(std::string_view salt) : digests_(1) {
  SHA256(reinterpret_cast<const unsigned char*>(salt.data()), salt.size(), digests_[0].data());
}

const PageDigest& PrefixChain::digest(int page, std::span<const std::int32_t> tokens) {
  constexpr std::size_t kTokenBytes = kKvPageTokens * sizeof(std::int32_t);
  const std::size_t wanted = static_cast<std::size_t>(page) + 1;
  while (digests_.size() <= wanted) {
    std::array<unsigned char, sizeof(PageDigest) + kTokenBytes> content;
    std::memcpy(content.data(), digests_.back().data(), sizeof(PageDigest));
    std::memcpy(content.data() + sizeof(PageDigest),
                tokens.data() + (digests_.size() - 1) * kKvPageTokens, kTokenBytes);
    SHA256(content.data(), content.size(), digests_.emplace_back().data());
  }
  return digests_[wanted];
}

std::size_t PrefixIndex::FirstBytes::operator()(const PageDigest& name) const {
  std::size_t hash = 0;
  std::memcpy(&hash, name.data(), sizeof hash);
  return hash;
}

std::optional<int> PrefixIndex::find(const PageDigest& name) const {
  const auto found = pages_.find(name);
  if (found == pages_.end()) return std::nullopt;
  return found->second;
}

void PrefixIndex::publish(const PageDigest& name, int page) {
  if (pages_.try_emplace(name, page).second) names_[static_cast<std::size_t>(page)] = name;
}

void PrefixIndex::forget(int page) {
  auto& name = names_[static_cast<std::size_t>(page)];
  if (name) pages_.erase(*name);
  name.reset();
}

}  // namespace dejavu
