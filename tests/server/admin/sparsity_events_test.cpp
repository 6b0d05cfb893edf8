#include "server/admin/sparsity_events.h"

#include <catch2/catch.hpp>

using namespace dejavu;

TEST_CASE("each of the audit's changes is told once, also when old ones are dropped") {
  NewSparsityEvents events;
  SparsityStatus status;
  CHECK(events.in(status).empty());
  status.events = {{1, "layer 2 widened"}, {2, "layer 2 dense"}};
  CHECK(events.in(status) == std::vector<std::string>{"layer 2 widened", "layer 2 dense"});
  CHECK(events.in(status).empty());
  status.events = {{2, "layer 2 dense"}, {3, "layer 4 widened"}};
  CHECK(events.in(status) == std::vector<std::string>{"layer 4 widened"});
}
