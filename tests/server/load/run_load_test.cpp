#include "server/load/run_load.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "server/load/prompts.h"

using namespace dejavu;

namespace {

// Answers each request from one thread, in order, and notes how many were in flight.
class ScriptedTarget final : public LoadTarget {
 public:
  ~ScriptedTarget() override {
    for (std::thread& thread : threads_) thread.join();
  }
  Result<std::vector<std::int32_t>> tokenize(const std::string&) override {
    return std::vector<std::int32_t>{3, 5, 7};
  }
  void send(const LoadPrompt&, Done done) override {
    const std::lock_guard lock(mutex_);
    most_in_flight = std::max(most_in_flight, ++in_flight_);
    const bool fails = threads_.size() % 4 == 3;
    threads_.emplace_back([this, fails, done = std::move(done)] {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      {
        const std::lock_guard inner(mutex_);
        --in_flight_;
      }
      LoadStopwatch watch;
      watch.token();
      watch.completion_tokens = 1;
      done(watch.finish(fails ? "refused" : ""));
    });
  }

  int most_in_flight = 0;

 private:
  std::mutex mutex_;
  int in_flight_ = 0;
  std::vector<std::thread> threads_;
};

LoadOptions options_for(int prompts) {
  LoadOptions options;
  options.num_prompts = prompts;
  options.random_input_len = 6;
  return options;
}

}  // namespace

TEST_CASE("every request ends once, and concurrency keeps its limit") {
  ScriptedTarget target;
  LoadOptions options = options_for(40);
  options.max_concurrency = 3;
  const auto prompts = make_prompts(options, 1, target);
  REQUIRE(prompts);
  const LoadRun run = run_load(target, *prompts, options, 1, [](const LoadProgress&) {});
  CHECK(run.records.size() == 40);
  CHECK(target.most_in_flight <= 3);
  CHECK(std::count_if(run.records.begin(), run.records.end(),
                      [](const LoadRecord& r) { return r.error == "refused"; }) == 10);
}

TEST_CASE("a request rate spreads the arrivals") {
  ScriptedTarget target;
  LoadOptions options = options_for(11);
  options.request_rate = 100;
  options.burstiness = 1e6;  // gaps of 10 ms, nearly equal
  const auto prompts = make_prompts(options, 1, target);
  REQUIRE(prompts);
  CHECK(run_load(target, *prompts, options, 1, [](const LoadProgress&) {}).seconds >= 0.099);
}

TEST_CASE("random prompts have the length asked for and follow the seed") {
  ScriptedTarget target;
  const auto first = make_prompts(options_for(4), 1, target);
  const auto same = make_prompts(options_for(4), 1, target);
  const auto other = make_prompts(options_for(4), 2, target);
  REQUIRE(first);
  bool differs = false;
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK((*first)[i].ids.size() == 6);
    CHECK((*first)[i].ids == (*same)[i].ids);
    differs = differs || (*first)[i].ids != (*other)[i].ids;
  }
  CHECK(differs);
}

TEST_CASE("a dataset is read from the start again when it is short") {
  ScriptedTarget target;
  const std::string path =
      (std::filesystem::temp_directory_path() / "dejavu-run-load-test.jsonl").string();
  std::ofstream(path) << "{\"prompt\": \"a\"}\n\n{\"text\": \"b\"}\n";
  LoadOptions options = options_for(3);
  options.dataset = path;
  const auto prompts = make_prompts(options, 1, target);
  REQUIRE(prompts);
  CHECK((*prompts)[0].text == "a");
  CHECK((*prompts)[1].text == "b");
  CHECK((*prompts)[2].text == "a");
  std::ofstream(path) << "{\"question\": 1}\n";
  CHECK_FALSE(make_prompts(options, 1, target));
  std::filesystem::remove(path);
  CHECK_FALSE(make_prompts(options, 1, target));
}
