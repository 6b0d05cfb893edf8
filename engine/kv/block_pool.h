// Which KV pages are in use, by reference count. Page ids only: storage is kv_cache's business.
// Free pages wait in a list from next to be reused to last; any of them leaves it in O(1).
#pragma once

#include <optional>
#include <vector>

namespace dejavu {

class BlockPool {
 public:
  explicit BlockPool(int pages);

  // The free page that is next in line, now referenced once; none when all are in use.
  std::optional<int> allocate();
  // One more user of a page, in use or free.
  void reference(int page);
  // One user less. A page without users is free: reused after all others when its content may be
  // wanted again, before all others when not.
  void release(int page, bool keep_content);

  int pages() const { return static_cast<int>(references_.size()); }
  int free_pages() const { return free_; }
  int references(int page) const { return references_[static_cast<std::size_t>(page)]; }

 private:
  // Links of a circular list; the entry after the last page is its head.
  struct Link {
    int previous = 0;
    int next = 0;
  };
  Link& link(int page) { return links_[static_cast<std::size_t>(page)]; }
  void insert_before(int page, int place);
  void remove(int page);

  std::vector<int> references_;
  std::vector<Link> links_;
  int head_;
  int free_ = 0;
};

}  // namespace dejavu
