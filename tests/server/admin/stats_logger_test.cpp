#include "server/admin/stats_logger.h"

#include <catch2/catch.hpp>

using namespace dejavu;

TEST_CASE("the ten-second line gives rates since the last one and is silent when idle") {
  StatsLine line;
  CHECK_FALSE(line.next({}, {}, 10));

  EngineStats engine;
  engine.running = 2;
  engine.waiting = 1;
  engine.kv_pages_total = 200;
  engine.kv_pages_used = 50;
  engine.prefix_query_tokens = 100;
  engine.prefix_hit_tokens = 40;
  const auto busy = line.next(engine, {100, 500}, 10);
  REQUIRE(busy);
  CHECK_THAT(*busy, Catch::Contains("prompt 10.0 tokens/s") &&
                        Catch::Contains("generation 50.0 tokens/s") &&
                        Catch::Contains("running 2") && Catch::Contains("waiting 1") &&
                        Catch::Contains("KV cache 25.0 %") &&
                        Catch::Contains("prefix hits 40.0 %"));

  const auto stuck = line.next(engine, {100, 500}, 10);
  REQUIRE(stuck);  // something runs, though no token came
  CHECK_THAT(*stuck, Catch::Contains("generation 0.0 tokens/s"));

  engine.running = engine.waiting = engine.kv_pages_used = 0;
  CHECK(line.next(engine, {100, 510}, 10));
  CHECK_FALSE(line.next(engine, {100, 510}, 10));
}
