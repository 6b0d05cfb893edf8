#include "engine/kv/block_pool.h"

#include <cassert>

namespace dejavu {

BlockPool::BlockPool(int pages)
    : references_(static_cast<std::size_t>(pages), 0),
      links_(static_cast<std::size_t>(pages) + 1),
      head_(pages) {
  link(head_) = {head_, head_};
  for (int page = 0; page < pages; ++page) insert_before(page, head_);
}

std::optional<int> BlockPool::allocate() {
  if (free_ == 0) return std::nullopt;
  const int page = link(head_).next;
  reference(page);
  return page;
}

void BlockPool::reference(int page) {
  int& count = references_[static_cast<std::size_t>(page)];
  if (count == 0) remove(page);
  ++count;
}

void BlockPool::release(int page, bool keep_content) {
  int& count = references_[static_cast<std::size_t>(page)];
  assert(count > 0);
  --count;
  if (count == 0) insert_before(page, keep_content ? head_ : link(head_).next);
}

void BlockPool::insert_before(int page, int place) {
  const int previous = link(place).previous;
  link(page) = {previous, place};
  link(previous).next = page;
  link(place).previous = page;
  ++free_;
}

void BlockPool::remove(int page) {
  const Link own = link(page);
  link(own.previous).next = own.next;
  link(own.next).previous = own.previous;
  --free_;
}

}  // namespace dejavu
