// The device's sampler against the CPU's: the same token, rank and alternatives for the same
// logits.
#include <algorithm>
#include <catch2/catch.hpp>
#include <limits>

#include "tests/backend/backends.h"
#include "tests/backend/op_data.h"

using namespace dejavu;

namespace {

constexpr int kSlots = 7;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

class Side {
 public:
  Side(Backend& backend, int vocab) : backend_(backend), vocab_(vocab) {
    logits_ = std::move(backend.allocate(static_cast<std::size_t>(kSlots * vocab) * 4).value());
    last_ = std::move(backend.allocate(kSlots * 4).value());
  }

  void enter(int slot, const SamplingParams& params, std::uint64_t seed,
             const std::vector<std::int32_t>& prompt, const std::vector<std::int32_t>& output) {
    SamplerSlotArgs args;
    args.slot = slot;
    args.params = &params;
    args.seed = seed;
    args.prompt = prompt.data();
    args.prompt_length = static_cast<int>(prompt.size());
    args.output = output.data();
    args.output_length = static_cast<int>(output.size());
    backend_.set_sampler_slot(args, StreamId::kMain);
  }

  std::vector<SampleOutput> sample(const std::vector<float>& logits,
                                   const std::vector<SampleRow>& rows) {
    backend_.upload(logits_.data(), logits.data(), logits.size() * 4, StreamId::kMain);
    std::vector<SampleOutput> out(rows.size());
    SampleArgs args;
    args.logits = {logits_.data(), DType::kF32, static_cast<std::int64_t>(rows.size()), vocab_,
                   vocab_};
    args.rows = rows.data();
    args.count = static_cast<int>(rows.size());
    args.last_tokens = last_.as<std::int32_t>();
    args.out = out.data();
    backend_.sample(args, StreamId::kMain);
    last_host_.assign(kSlots, -1);
    backend_.download(last_host_.data(), last_.data(), kSlots * 4, StreamId::kMain);
    REQUIRE(backend_.synchronize(StreamId::kMain));
    return out;
  }
  const std::vector<std::int32_t>& last() const { return last_host_; }

 private:
  Backend& backend_;
  int vocab_;
  Buffer logits_, last_;
  std::vector<std::int32_t> last_host_;
};

std::vector<float> random_logits(int count, int kind, std::mt19937& random) {
  std::normal_distribution<float> normal(0, kind % 3 == 0 ? 0.5F : 3.0F);
  std::vector<float> logits(static_cast<std::size_t>(count));
  for (float& logit : logits) {
    logit = normal(random);
    if (kind % 4 == 1) logit = std::round(2 * logit) / 2;  // ties
    if (kind % 5 == 2 && random() % 9 == 0) logit = -kInfinity;
    if (kind % 7 == 3 && random() % 99 == 0) logit = random() % 2 == 0 ? kInfinity : NAN;
    if (kind % 11 == 6) logit = 1;
  }
  return logits;
}

SamplingParams random_params(int vocab, std::mt19937& random) {
  const auto chance = [&](unsigned of) { return random() % of == 0; };
  const auto token = [&] {
    return static_cast<std::int32_t>(random() % static_cast<unsigned>(vocab));
  };
  SamplingParams params;
  params.temperature = chance(4) ? 0.0F : chance(2) ? 1.0F : 0.3F;
  if (chance(2)) params.top_p = chance(2) ? 0.9F : 0.3F;
  if (chance(3)) params.top_k = static_cast<int>(1 + random() % 60);
  if (chance(4)) params.min_p = 0.05F;
  if (chance(3)) params.presence_penalty = 0.7F;
  if (chance(3)) params.frequency_penalty = -0.4F;
  if (chance(3)) params.repetition_penalty = 1.3F;
  if (chance(3)) params.logit_bias = {{token(), 3.5F}, {token(), -100.0F}, {token(), 0.25F}};
  if (chance(4)) params.bad_words = {{token()}, {1, 2, token()}, {token(), token()}};
  if (chance(6))
    for (int i = 0; i < 40; ++i) params.allowed_token_ids.push_back(token());
  if (chance(3)) params.min_tokens = 6;
  params.max_tokens = 30;
  params.stop_token_ids = {token()};
  if (chance(2)) params.eos_token_ids = {token(), token()};
  params.ignore_eos = chance(3);
  params.logprobs = chance(2) ? static_cast<int>(random() % 21) : -1;
  params.prompt_logprobs = static_cast<int>(random() % 4);
  return params;
}

void compare(const SampleOutput& got, const SampleOutput& want) {
  CHECK(got.token == want.token);
  CHECK(got.rank == want.rank);
  CHECK(got.logprob == Approx(want.logprob).margin(1e-6));
  REQUIRE(got.top_count == want.top_count);
  for (int i = 0; i < want.top_count; ++i) {
    CHECK(got.top_tokens[i] == want.top_tokens[i]);
    CHECK(got.top_logprobs[i] == Approx(want.top_logprobs[i]).margin(1e-6));
  }
}

}  // namespace

TEST_CASE("sampling on the device equals sampling on the CPU") {
  for (const NamedBackend& named : test_backends()) {
    for (const int vocab : {5, 300, 4099, 50272}) {
      std::mt19937 random(41);
      const auto cpu = std::move(make_cpu_backend({}).value());
      Side want(*cpu, vocab);
      Side got(*named.backend, vocab);
      for (int entry = 0; entry < (vocab > 9999 ? 12 : 40); ++entry) {
        std::vector<SampleRow> rows;
        for (int slot = 0; slot < kSlots; ++slot) {
          const SamplingParams params = random_params(vocab, random);
          std::vector<std::int32_t> prompt(random() % 9), output(random() % 5);
          for (auto* list : {&prompt, &output})
            for (auto& token : *list)
              token = static_cast<std::int32_t>(random() % static_cast<unsigned>(vocab));
          const std::uint64_t seed = (std::uint64_t{random()} << 32) | random();
          for (Side* side : {&want, &got}) side->enter(slot, params, seed, prompt, output);
          rows.push_back({slot, slot == 3 ? static_cast<std::int32_t>(vocab / 2) : -1});
        }
        for (int step = 0; step < 6; ++step) {
          INFO(named.name << " vocab " << vocab << " entry " << entry << " step " << step);
          const auto logits = random_logits(kSlots * vocab, entry * 6 + step, random);
          const auto expected = want.sample(logits, rows);
          const auto actual = got.sample(logits, rows);
          for (std::size_t r = 0; r < rows.size(); ++r) {
            INFO("row " << r);
            compare(actual[r], expected[r]);
            if (rows[r].score < 0) CHECK(got.last()[r] == want.last()[r]);
          }
        }
      }
    }
  }
}
