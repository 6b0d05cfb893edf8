#include "engine/kv/page_table.h"

#include <ranges>

namespace dejavu {

void PageTable::share(PageStore& store, int page) {
  store.pool.reference(page);
  pages_.push_back(page);
}

bool PageTable::grow(PageStore& store, int tokens) {
  const int missing = pages_for(tokens) - static_cast<int>(pages_.size());
  if (missing > store.pool.free_pages()) return false;
  for (int i = 0; i < missing; ++i) {
    const int page = *store.pool.allocate();
    store.index.forget(page);
    pages_.push_back(page);
  }
  return true;
}

void PageTable::clear(PageStore& store) {
  // Last page first: the tail of a prefix is evicted before the start that others share.
  for (const int page : std::views::reverse(pages_)) {
    store.pool.release(page, store.index.holds(page));
  }
  pages_.clear();
}

}  // namespace dejavu
