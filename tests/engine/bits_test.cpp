// On the CPU an answer is the same to the bit whatever surrounds it: batch-mates, prompt chunks,
// prefix hits, threads, launch depth, preemption. Bits are those of the log-probabilities, which
// follow from every logit. Runs on the demo model.
#include <atomic>
#include <bit>
#include <catch2/catch.hpp>
#include <random>

#include "engine/backend/factory.h"
#include "tests/support/engine_harness.h"

using namespace dejavu;

namespace {

constexpr int kVocab = 4096;

struct Setting {
  DType dtype = DType::kBF16;
  int threads = 1;
  int launch_ahead = 0;
  double step_seconds = 1000;  // prompts whole
  bool prefix_caching = true;
  int kv_pages = 512;
  int max_model_len = 512;
};

struct DemoEngine {
  explicit DemoEngine(const Setting& setting) {
    BackendOptions backend_options;
    backend_options.device = DeviceChoice::kCpu;
    backend_options.threads = setting.threads;
    auto made = make_backend(backend_options);
    REQUIRE(made);
    backend = std::move(*made);
    TransformerOptions model_options;
    model_options.dtype = setting.dtype;
    model_options.max_model_len = setting.max_model_len;
    auto model = Transformer::load(DEJAVU_SOURCE_DIR "/models/demo", *backend, model_options, {});
    REQUIRE(model);
    EngineOptions options;
    options.prefix_caching = setting.prefix_caching;
    options.target_step_seconds = setting.step_seconds;
    options.kv_cache_bytes =
        static_cast<std::size_t>(setting.kv_pages) * (*model)->kv_shape().page_bytes();
    auto engine_made = create_engine(*backend, std::move(*model), options, setting.launch_ahead);
    REQUIRE(engine_made);
    engine = std::move(*engine_made);
    engine->set_observers(
        [this](const StepReport& report) {
          largest_chunk = std::max(largest_chunk.load(), report.prompt_tokens);
        },
        {});
    engine->start();
  }

  std::atomic<int> largest_chunk{0};  // written by the engine thread alone
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Engine> engine;
};

struct Question {
  std::vector<std::int32_t> prompt;
  SamplingParams params;
};

Question question(unsigned seed, int length, int max_tokens) {
  std::mt19937 random(seed);
  Question q;
  for (int i = 0; i < length; ++i) {
    q.prompt.push_back(static_cast<std::int32_t>(4 + random() % (kVocab - 4)));
  }
  q.params.temperature = seed % 2 == 0 ? 0.0F : 0.8F;
  q.params.top_p = 0.95F;
  q.params.seed = seed;
  q.params.max_tokens = max_tokens;
  q.params.logprobs = 5;
  q.params.ignore_eos = true;
  return q;
}

std::vector<std::uint32_t> whole_bits_of(const Answer& answer) {
  REQUIRE(answer.finish == FinishReason::kLength);
  return bits_of(answer);
}

using Bits = std::vector<std::vector<std::uint32_t>>;

Bits ask_all(DemoEngine& demo, const std::vector<Question>& questions) {
  std::vector<Listener> listeners;
  std::vector<SequenceRequest> requests;
  for (const Question& q : questions) {
    listeners.emplace_back(q.params.max_tokens);
    requests.push_back(make_request(q.prompt, q.params, listeners.back()));
  }
  REQUIRE(demo.engine->submit(std::move(requests)));
  Bits bits;
  for (Listener& listener : listeners) bits.push_back(whole_bits_of(listener.wait()));
  return bits;
}

Bits ask_one_by_one(DemoEngine& demo, const std::vector<Question>& questions) {
  Bits bits;
  for (const Question& q : questions) {
    bits.push_back(ask_all(demo, {q}).front());
  }
  return bits;
}

std::vector<Question> our_questions() {
  return {question(1, 1, 24), question(2, 37, 24), question(3, 150, 24), question(4, 203, 24)};
}

// Everything alone, whole, without a cache, on one thread.
const Bits& reference(DType dtype) {
  static const auto compute = [](DType type) {
    DemoEngine demo({.dtype = type, .prefix_caching = false});
    return ask_one_by_one(demo, our_questions());
  };
  static const Bits bf16 = compute(DType::kBF16);
  static const Bits f32 = compute(DType::kF32);
  return dtype == DType::kF32 ? f32 : bf16;
}

}  // namespace

TEST_CASE("in a batch of 32 random others an answer keeps its bits", "[bits]") {
  const DType dtype = GENERATE(DType::kBF16, DType::kF32);
  const int threads = GENERATE(1, 2);
  DemoEngine demo({.dtype = dtype, .threads = threads, .kv_pages = 1024});
  auto questions = our_questions();
  const auto ours = questions.size();
  for (unsigned seed = 100; seed < 132; ++seed) {
    questions.push_back(question(seed, 1 + static_cast<int>(seed * 37 % 120), 30));
  }
  // Ours in the middle of the batch.
  std::rotate(questions.begin(), questions.begin() + static_cast<std::ptrdiff_t>(ours + 9),
              questions.end());
  const Bits all = ask_all(demo, questions);
  const Bits& alone = reference(dtype);
  for (std::size_t i = 0; i < ours; ++i) {
    CHECK(all[questions.size() - ours - 9 + i] == alone[i]);
  }
}

TEST_CASE("in chunks, from the cache, and a step ahead an answer keeps its bits", "[bits]") {
  const DType dtype = GENERATE(DType::kBF16, DType::kF32);
  const int threads = GENERATE(1, 2);
  const int ahead = GENERATE(0, 1);
  DemoEngine demo(
      {.dtype = dtype, .threads = threads, .launch_ahead = ahead, .step_seconds = 1e-9});
  CHECK(ask_one_by_one(demo, our_questions()) == reference(dtype));
  CHECK(demo.largest_chunk <= 32);
  CHECK(demo.engine->stats().prefix_hit_tokens == 0);
  CHECK(ask_one_by_one(demo, our_questions()) == reference(dtype));
  CHECK(demo.engine->stats().prefix_hit_tokens == 32 + 144 + 192);
}

TEST_CASE("preempted and recomputed an answer keeps its bits", "[bits]") {
  const DType dtype = GENERATE(DType::kBF16, DType::kF32);
  // 4 questions end with 25, 61, 174 and 227 tokens: 2 + 4 + 11 + 15 pages. There are fewer.
  DemoEngine demo({.dtype = dtype,
                   .threads = 2,
                   .prefix_caching = GENERATE(true, false),
                   .kv_pages = 29,
                   .max_model_len = 256});
  CHECK(ask_all(demo, our_questions()) == reference(dtype));
  CHECK(demo.engine->stats().preemptions > 0);
}

TEST_CASE("a prompt's log-probabilities keep their bits in chunks and past the row limit",
          "[bits]") {
  const auto score = [](double step_seconds, int threads) {
    DemoEngine demo({.threads = threads, .step_seconds = step_seconds});
    Question q = question(7, 400, 0);  // more positions than a step has logit rows
    q.params.prompt_logprobs = 2;
    Listener listener(0);
    std::vector<SequenceRequest> requests;
    requests.push_back(make_request(q.prompt, q.params, listener));
    REQUIRE(demo.engine->submit(std::move(requests)));
    CHECK(listener.wait().finish == FinishReason::kLength);
    CHECK(listener.wait().tokens.empty());
    std::vector<std::uint32_t> bits;
    for (const TokenLogprob& entry : listener.stream()->prompt_logprobs) {
      bits.push_back(std::bit_cast<std::uint32_t>(entry.logprob));
      bits.push_back(static_cast<std::uint32_t>(entry.rank));
      for (const auto& [token, logprob] : entry.top) {
        bits.push_back(static_cast<std::uint32_t>(token));
        bits.push_back(std::bit_cast<std::uint32_t>(logprob));
      }
    }
    return bits;
  };
  const auto whole = score(1000, 1);
  CHECK(whole.size() == 2 + 399 * 6);
  CHECK(score(1e-9, 2) == whole);

  // Without log-probabilities there is not one row of logits.
  DemoEngine demo({});
  CHECK(ask(*demo.engine, question(8, 40, 0).prompt, question(8, 40, 0).params).finish ==
        FinishReason::kLength);
}
