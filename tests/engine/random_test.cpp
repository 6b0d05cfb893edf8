// Ten thousand requests that come, go, wait, are preempted, cancelled and timed out at random:
// every answer is the undisturbed one (or its beginning), and every page returns.
#include <catch2/catch.hpp>
#include <random>
#include <thread>

#include "tests/support/engine_harness.h"

using namespace dejavu;
using namespace std::chrono_literals;

namespace {

constexpr int kVocab = 64;
constexpr int kMaxModelLen = 96;
constexpr int kRequests = 10000;

struct Client {
  FakeEngine& fake;
  std::mt19937 random;
  int wrong = 0;
  int ended_early = 0;

  int below(int bound) { return static_cast<int>(random() % static_cast<unsigned>(bound)); }

  std::vector<std::int32_t> prompt() {
    // Few beginnings, so that prefixes meet.
    std::vector<std::int32_t> tokens;
    const int family = below(4);
    const int length = 1 + below(70);
    const int shared = below(length + 1);
    for (int i = 0; i < length; ++i) {
      tokens.push_back(i < shared ? (i * (family + 3)) % kVocab : below(kVocab));
    }
    return tokens;
  }

  SamplingParams params() {
    SamplingParams params;
    params.seed = random();
    params.max_tokens = 1 + below(30);
    params.temperature = below(2) == 0 ? 0.0F : 1.0F;
    if (below(4) == 0) params.top_k = 5;
    if (below(4) == 0) params.top_p = 0.8F;
    if (below(4) == 0) params.repetition_penalty = 1.3F;
    if (below(4) == 0) params.frequency_penalty = 0.5F;
    if (below(3) == 0) params.stop_token_ids = {below(kVocab), below(kVocab)};
    if (below(8) == 0) params.min_tokens = below(params.max_tokens);
    if (below(8) == 0) params.prompt_logprobs = 0;
    if (below(8) == 0) params.logprobs = 1;
    return params;
  }

  // Submits a few, disturbs some, checks all.
  int round() {
    const int count = 1 + below(12);
    std::vector<Listener> listeners;
    std::vector<SequenceRequest> requests;
    for (int i = 0; i < count; ++i) {
      const auto sampling = params();
      listeners.emplace_back(sampling.max_tokens);
      requests.push_back(make_request(prompt(), sampling, listeners.back()));
      SequenceRequest& request = requests.back();
      request.priority = below(3) - 1;
      request.use_prefix_cache = below(8) != 0;
      if (below(8) == 0) request.cache_salt = "salt";
      if (below(20) == 0) {
        request.deadline =
            std::chrono::steady_clock::now() + std::chrono::microseconds(below(3000));
      }
      if (below(12) == 0) listeners.back().cancel_after(1 + below(10));
    }
    const auto asked = requests;
    while (!fake.engine->submit(requests)) std::this_thread::sleep_for(200us);
    for (int i = 0; i < count; ++i) {
      if (below(12) != 0) continue;
      Listener& listener = listeners[static_cast<std::size_t>(i)];
      listener.wait(static_cast<std::size_t>(below(10)));
      listener.stream()->cancel();
      if (below(2) == 0) fake.engine->wake();
    }
    for (int i = 0; i < count; ++i) {
      const auto at = static_cast<std::size_t>(i);
      check(asked[at], listeners[at].wait());
    }
    return count;
  }

  void check(const SequenceRequest& asked, const Answer& answer) {
    auto expected = fake_answer(asked.prompt, asked.sampling, kVocab, kMaxModelLen);
    const bool whole =
        answer.finish == FinishReason::kStop || answer.finish == FinishReason::kLength;
    if (!whole) {
      ++ended_early;
      const bool allowed = answer.finish == FinishReason::kCancelled ||
                           (answer.finish == FinishReason::kError && asked.deadline);
      wrong += static_cast<int>(!allowed || answer.tokens.size() > expected.size());
      expected.resize(std::min(expected.size(), answer.tokens.size()));
    }
    wrong += static_cast<int>(answer.tokens != expected);
  }
};

}  // namespace

TEST_CASE("random requests leave every page free and every answer undisturbed", "[engine]") {
  const int way = GENERATE(0, 1, 2);
  FakeEngine::Setup setup;
  setup.deferred = way == 2;
  setup.launch_ahead = way == 0 ? 0 : 1;
  setup.max_model_len = kMaxModelLen;
  setup.kv_pages = 20;  // eight sequences of up to six pages each
  setup.options.max_num_seqs = 8;
  setup.options.max_num_batched_tokens = 64;
  setup.options.max_queued = 40;
  FakeEngine fake(setup);
  fake.engine->start();

  std::atomic<int> left{kRequests};
  std::vector<Client> clients;
  for (unsigned i = 0; i < 3; ++i) clients.push_back({fake, std::mt19937(100 * i + 1)});
  std::vector<std::thread> threads;
  for (Client& client : clients) {
    threads.emplace_back([&] {
      while (left > 0) left -= client.round();
    });
  }
  for (auto& thread : threads) thread.join();

  int ended_early = 0;
  for (const Client& client : clients) {
    CHECK(client.wrong == 0);
    ended_early += client.ended_early;
  }
  CHECK(ended_early > kRequests / 20);
  CHECK(fake.settle());
  const EngineStats stats = fake.engine->stats();
  CHECK(stats.preemptions > 100);
  CHECK(stats.prefix_hit_tokens > 1000);
  CHECK(fake.model->misplaced() == 0);
}
