#include "engine/core/ring.h"

#include <catch2/catch.hpp>
#include <thread>

#include "engine/core/inbox.h"

using namespace dejavu;

TEST_CASE("a ring keeps order and refuses when full") {
  Ring<int> ring(4);
  for (int i = 0; i < 4; ++i) REQUIRE(ring.try_push(i));
  REQUIRE_FALSE(ring.try_push(4));
  int value = -1;
  for (int i = 0; i < 4; ++i) {
    REQUIRE(ring.try_pop(value));
    REQUIRE(value == i);
  }
  REQUIRE_FALSE(ring.try_pop(value));
}

TEST_CASE("a ring keeps order across threads") {
  // A smaller one would change threads at every few items: minutes on a busy machine.
  Ring<int> ring(1024);
  constexpr int kCount = 100000;
  std::thread producer([&] {
    for (int i = 0; i < kCount;) {
      if (ring.try_push(i))
        ++i;
      else
        std::this_thread::yield();
    }
  });
  int expected = 0;
  int value = -1;
  while (expected < kCount) {
    if (ring.try_pop(value)) {
      if (value != expected) break;
      ++expected;
    } else {
      std::this_thread::yield();
    }
  }
  producer.join();
  REQUIRE(expected == kCount);
}

TEST_CASE("an inbox hands over everything pushed and wakes its consumer") {
  Inbox<int> inbox;
  std::thread producer([&] {
    for (int i = 0; i < 1000; ++i) inbox.push(i);
    inbox.close();
  });
  int count = 0;
  while (!inbox.closed() || count < 1000) {
    for (const int v : inbox.wait_drain()) {
      REQUIRE(v == count);
      ++count;
    }
    if (inbox.closed() && count >= 1000) break;
  }
  producer.join();
  REQUIRE(count == 1000);
  REQUIRE_FALSE(inbox.push(1));
}
