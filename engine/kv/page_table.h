// The KV pages of one sequence, in order of position.
#pragma once

#include <span>
#include <vector>

#include "engine/core/kv_page.h"
#include "engine/kv/block_pool.h"
#include "engine/kv/prefix_index.h"

namespace dejavu {

constexpr int pages_for(int tokens) { return (tokens + kKvPageTokens - 1) / kKvPageTokens; }

// All pages there are, and what is known of their content.
struct PageStore {
  explicit PageStore(int pages) : pool(pages), index(pages) {}
  BlockPool pool;
  PrefixIndex index;
};

class PageTable {
 public:
  // Appends a page that already holds this sequence's tokens.
  void share(PageStore& store, int page);
  // Makes room for `tokens` in all. False, and nothing taken, when too few pages are free.
  bool grow(PageStore& store, int tokens);
  void clear(PageStore& store);

  std::span<const int> pages() const { return pages_; }
  // Where the token at `position` lives: page * kKvPageTokens + offset.
  int slot(int position) const {
    return pages_[static_cast<std::size_t>(position / kKvPageTokens)] * kKvPageTokens +
           position % kKvPageTokens;
  }

 private:
  std::vector<int> pages_;
};

}  // namespace dejavu
