#include "engine/backend/cpu/worker_pool.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <ctime>
#include <thread>
#include <vector>

using namespace dejavu;

TEST_CASE("every item runs once, on a worker that exists") {
  for (const int threads : {1, 2, 3, 8}) {
    WorkerPool pool(threads);
    CHECK(pool.threads() == threads);
    for (const std::int64_t items : {0, 1, 2, 3, 7, 64, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<std::size_t>(items));
      std::atomic<int> strangers{0};
      pool.parallel_for(items, [&](std::int64_t item, int worker) {
        runs[static_cast<std::size_t>(item)].fetch_add(1);
        if (worker < 0 || worker >= threads) strangers.fetch_add(1);
      });
      for (const auto& count : runs) CHECK(count.load() == 1);
      CHECK(strangers.load() == 0);
    }
  }
}

TEST_CASE("what an op wrote is there for the next one, many ops in a row") {
  WorkerPool pool(4);
  constexpr std::int64_t kItems = 37;
  std::vector<std::int64_t> values(kItems, 0);
  constexpr int kOps = 5000;
  for (int op = 0; op < kOps; ++op) {
    // Plain memory: a missing barrier loses an increment or is a race for the thread sanitizer.
    pool.parallel_for(kItems, [&](std::int64_t item, int) {
      values[static_cast<std::size_t>((item * 5 + op) % kItems)] += 1;
    });
  }
  for (const std::int64_t value : values) CHECK(value == kOps);
}

TEST_CASE("a worker that is late leaves its share to the others") {
  WorkerPool pool(2);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the worker sleeps by now
  std::vector<int> done(100, 0);
  pool.parallel_for(100, [&](std::int64_t item, int) { done[static_cast<std::size_t>(item)] = 1; });
  for (const int one : done) CHECK(one == 1);
}

TEST_CASE("idle workers use no CPU") {
  WorkerPool pool(4);
  pool.parallel_for(16, [](std::int64_t, int) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const std::clock_t before = std::clock();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const double seconds = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  CHECK(seconds < 0.1);  // three spinning workers would use 0.9
}
