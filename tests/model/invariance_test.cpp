// On the CPU a prompt's logits are the same to the bit whole or in chunks, alone or beside others,
// with one thread or two, on every instruction set this machine has.
#include <catch2/catch.hpp>
#include <random>

#include "engine/backend/factory.h"
#include "tests/support/model_driver.h"
#include "tests/support/tiny_model.h"

namespace dejavu {
namespace {

using Rows = std::vector<std::vector<float>>;

std::vector<std::int32_t> tokens(int count, int vocab, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(count));
  for (auto& id : ids) id = static_cast<std::int32_t>(random() % static_cast<unsigned>(vocab));
  return ids;
}

std::unique_ptr<Transformer> tiny(const ModelConfig& config, Backend& backend, DType dtype) {
  TransformerOptions options;
  options.dtype = dtype;
  auto model = Transformer::random(config, backend, options, 7);
  REQUIRE(model);
  return std::move(*model);
}

// The prompt's logits while other sequences share every step: some decode, some are prompts too.
Rows beside_others(Transformer& model, Backend& backend, const std::vector<std::int32_t>& prompt) {
  ModelDriver driver(model, backend, 64);
  const int vocab = model.config().vocab_size;
  const int first = driver.add_sequence();
  const int mine = driver.add_sequence();
  const int last = driver.add_sequence();
  driver.prompt(first, tokens(35, vocab, 1), 35);
  Rows rows;
  for (std::size_t begin = 0; begin < prompt.size();) {
    const std::size_t end = std::min(prompt.size(), begin + 5 + begin % 3);
    const auto at = [&prompt](std::size_t i) {
      return prompt.begin() + static_cast<std::ptrdiff_t>(i);
    };
    const Rows step = driver.step({{first, tokens(1, vocab, static_cast<unsigned>(begin))},
                                   {mine, {at(begin), at(end)}},
                                   {last, tokens(3, vocab, static_cast<unsigned>(end))}});
    rows.insert(rows.end(), step.begin() + 1, step.begin() + 1 + static_cast<long>(end - begin));
    begin = end;
  }
  return rows;
}

void check_invariance(const ModelConfig& config, DType dtype, const std::string& isa) {
  const auto prompt = tokens(53, config.vocab_size, 3);
  Rows reference;
  for (const int threads : {1, 2}) {
    BackendOptions options;
    options.device = DeviceChoice::kCpu;
    options.cpu_isa = isa;
    options.threads = threads;
    const auto backend = make_backend(options);
    if (!backend) return;  // this machine lacks the instruction set
    const auto model = tiny(config, **backend, dtype);
    if (reference.empty()) {
      ModelDriver driver(*model, **backend, 8);
      reference = driver.prompt(driver.add_sequence(), prompt, 1000);
    }
    INFO(config.architecture << " " << dtype_name(dtype) << " isa '" << isa << "' threads "
                             << threads);
    for (const int chunk : {1, 7, 16, 1000}) {
      ModelDriver driver(*model, **backend, 8);
      INFO("chunk " << chunk);
      CHECK(driver.prompt(driver.add_sequence(), prompt, chunk) == reference);
    }
    CHECK(beside_others(*model, **backend, prompt) == reference);
  }
}

TEST_CASE("Logits do not depend on chunks, neighbours or threads") {
  for (const ModelConfig& config : {tiny_opt(), tiny_llama()})
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16})
      for (const char* isa : {"", "avx2", "avx512", "avx512_bf16", "amx"})
        check_invariance(config, dtype, isa);
}

TEST_CASE("Random weights depend on the seed alone") {
  BackendOptions options;
  options.device = DeviceChoice::kCpu;
  const auto backend = make_backend(options);
  REQUIRE(backend);
  const auto logits = [&](std::uint64_t seed) {
    const auto model = Transformer::random(tiny_llama(), **backend, {}, seed);
    REQUIRE(model);
    ModelDriver driver(**model, **backend, 2);
    return driver.prompt(driver.add_sequence(), tokens(9, 101, 5), 9);
  };
  CHECK(logits(1) == logits(1));
  CHECK(logits(1) != logits(2));
}

TEST_CASE("Sizes in bytes follow from the parameters") {
  BackendOptions options;
  options.device = DeviceChoice::kCpu;
  const auto backend = make_backend(options);
  REQUIRE(backend);
  const auto check = [&](const ModelConfig& config, std::int64_t f32_parameters,
                         std::int64_t decode_skips) {
    const auto model = tiny(config, **backend, DType::kBF16);
    const std::int64_t bytes = 2 * config.parameter_count() + 2 * f32_parameters;
    CHECK(model->weight_bytes() == static_cast<std::size_t>(bytes));
    CHECK(model->decode_bytes() == static_cast<std::size_t>(bytes - 2 * decode_skips));
  };
  // Biases and norms are F32. Decoding reads no whole position table, nor a token table apart from
  // the head.
  const std::int64_t opt_vectors = 2 * (4 * 72 + 3 * 72 + 72 + 150 + 72) + 2 * 72;
  check(tiny_opt(), opt_vectors, 258 * 72);
  check(tiny_llama(), 2 * 2 * 90 + 90, 101 * 90);
}

}  // namespace
}  // namespace dejavu
