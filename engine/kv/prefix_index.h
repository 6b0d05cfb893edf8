// Finds KV pages by content. A page's name is a SHA-256 chain: of its tokens, of the name of the
// page before it, and, at the start, of the request's cache salt. Equal names mean equal KV.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace dejavu {

using PageDigest = std::array<std::uint8_t, 32>;

// The names of one sequence's full pages, made when they are first asked for.
class PrefixChain {
 public:
  explicit PrefixChain(std::string_view salt);
  // `tokens` are the sequence's tokens from the start and hold page `page` whole.
  const PageDigest& digest(int page, std::span<const std::int32_t> tokens);

 private:
  std::vector<PageDigest> digests_;  // [0] stands for the salt; page p is at p + 1
};

class PrefixIndex {
 public:
  explicit PrefixIndex(int pages) : names_(static_cast<std::size_t>(pages)) {}

  std::optional<int> find(const PageDigest& name) const;
  // Names a page. The first page of a name stays the one that is found.
  void publish(const PageDigest& name, int page);
  // The page's content is about to be overwritten.
  void forget(int page);
  bool holds(int page) const { return names_[static_cast<std::size_t>(page)].has_value(); }

 private:
  struct FirstBytes {
    std::size_t operator()(const PageDigest& name) const;
  };
  std::unordered_map<PageDigest, int, FirstBytes> pages_;
  std::vector<std::optional<PageDigest>> names_;
};

}  // namespace dejavu
