#include "engine/kv/prefix_index.h"

#include <catch2/catch.hpp>
#include <numeric>

#include "engine/kv/page_table.h"

using namespace dejavu;

namespace {

std::vector<std::int32_t> tokens_from(int first, int count) {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(count));
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

}  // namespace

TEST_CASE("a page's name says its tokens, all before them, and the salt", "[kv]") {
  const auto tokens = tokens_from(0, 48);
  PrefixChain chain("");
  PrefixChain same("");
  CHECK(chain.digest(2, tokens) == same.digest(2, tokens));
  CHECK(chain.digest(0, tokens) != chain.digest(1, tokens));

  auto other = tokens;
  other[3] = 1000;
  PrefixChain changed("");
  CHECK(changed.digest(2, other) != chain.digest(2, tokens));

  PrefixChain salted("tenant");
  CHECK(salted.digest(0, tokens) != chain.digest(0, tokens));

  // The same tokens in a second page are another name: their KV depends on what is before.
  auto repeated = tokens_from(0, 16);
  const auto again = repeated;
  repeated.insert(repeated.end(), again.begin(), again.end());
  PrefixChain twice("");
  CHECK(twice.digest(0, repeated) != twice.digest(1, repeated));
}

TEST_CASE("an index finds the first page of a name until it is forgotten", "[kv]") {
  const auto tokens = tokens_from(5, 16);
  PrefixChain chain("");
  const PageDigest name = chain.digest(0, tokens);
  PrefixIndex index(4);
  CHECK_FALSE(index.find(name));
  index.publish(name, 2);
  index.publish(name, 3);
  CHECK(index.find(name) == 2);
  CHECK_FALSE(index.holds(3));
  index.forget(3);
  CHECK(index.find(name) == 2);
  index.forget(2);
  CHECK_FALSE(index.find(name));
}

TEST_CASE("a page table grows all or nothing and forgets what it overwrites", "[kv]") {
  PageStore store(3);
  PageTable table;
  REQUIRE(table.grow(store, 17));
  CHECK(table.pages().size() == 2);
  CHECK(table.slot(16) == table.pages()[1] * kKvPageTokens);
  CHECK_FALSE(table.grow(store, 64));
  CHECK(store.pool.free_pages() == 1);

  const auto tokens = tokens_from(0, 16);
  PrefixChain chain("");
  const int first = table.pages()[0];
  store.index.publish(chain.digest(0, tokens), first);
  table.clear(store);
  CHECK(store.pool.free_pages() == 3);

  PageTable sharing;
  sharing.share(store, *store.index.find(chain.digest(0, tokens)));
  REQUIRE(sharing.grow(store, 48));
  CHECK(sharing.pages()[0] == first);
  sharing.clear(store);
  REQUIRE(table.grow(store, 48));  // takes the published page last, and its name with it
  CHECK(table.pages()[2] == first);
  CHECK_FALSE(store.index.find(chain.digest(0, tokens)));
}
