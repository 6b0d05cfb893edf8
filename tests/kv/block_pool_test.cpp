#include "engine/kv/block_pool.h"

#include <catch2/catch.hpp>
#include <set>

using namespace dejavu;

TEST_CASE("a pool hands out every page once and takes them back", "[kv]") {
  BlockPool pool(3);
  std::set<int> pages;
  for (int i = 0; i < 3; ++i) pages.insert(*pool.allocate());
  CHECK(pages == std::set<int>{0, 1, 2});
  CHECK(pool.free_pages() == 0);
  CHECK_FALSE(pool.allocate());
  pool.reference(1);
  pool.release(1, false);
  CHECK_FALSE(pool.allocate());  // still one user
  pool.release(1, false);
  CHECK(pool.allocate() == 1);
}

TEST_CASE("free pages are reused worthless ones first, then the longest unused", "[kv]") {
  BlockPool pool(4);
  for (int i = 0; i < 4; ++i) REQUIRE(pool.allocate() == i);
  pool.release(2, true);
  pool.release(0, true);
  pool.release(3, false);
  pool.release(1, true);
  pool.reference(0);  // wanted again: leaves the middle of the list
  CHECK(pool.free_pages() == 3);
  CHECK(pool.allocate() == 3);
  CHECK(pool.allocate() == 2);
  pool.release(0, true);
  CHECK(pool.allocate() == 1);
  CHECK(pool.allocate() == 0);
  CHECK_FALSE(pool.allocate());
}
