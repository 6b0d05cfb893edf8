// Logits and greedy text beside Hugging Face transformers' (tools/make_model_goldens.py).
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/backend/factory.h"
#include "tests/support/golden_file.h"
#include "tests/support/model_driver.h"

namespace dejavu {
namespace {

namespace fs = std::filesystem;

const fs::path kGolden = fs::path(DEJAVU_SOURCE_DIR) / "tests/model/golden";
const fs::path kDemo = fs::path(DEJAVU_SOURCE_DIR) / "models/demo";
constexpr double kF32Tolerance = 1e-4;
constexpr double kBf16Tolerance = 2e-2;
constexpr double kF16Tolerance = 4e-3;

// Null where this machine lacks the instruction set; an empty one is the best it has.
std::unique_ptr<Backend> cpu(const std::string& isa = {}) {
  BackendOptions options;
  options.device = DeviceChoice::kCpu;
  options.cpu_isa = isa;
  auto backend = make_backend(options);
  if (!backend && !isa.empty()) return nullptr;
  REQUIRE(backend);
  return std::move(*backend);
}

std::unique_ptr<Transformer> load(const fs::path& directory, Backend& backend, DType dtype,
                                  int max_model_len) {
  TransformerOptions options;
  options.dtype = dtype;
  options.max_model_len = max_model_len;
  auto model = Transformer::load(directory, backend, options, {});
  if (!model) FAIL(model.error().message);
  return std::move(*model);
}

// max|a - b| / max|b|
double difference(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0;
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    REQUIRE(std::isfinite(a[i]));
    worst = std::max(worst, std::abs(static_cast<double>(a[i]) - b[i]));
    largest = std::max(largest, std::abs(static_cast<double>(b[i])));
  }
  return worst / largest;
}

std::vector<float> joined(const std::vector<std::vector<float>>& rows) {
  std::vector<float> all;
  for (const auto& row : rows) all.insert(all.end(), row.begin(), row.end());
  return all;
}

int pages_for(std::size_t tokens) { return static_cast<int>(tokens) / kKvPageTokens + 1; }

std::int32_t argmax(const std::vector<float>& row) {
  return static_cast<std::int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

// transformers computes no F16 on the CPU worth comparing with: F16 is held against F32.
struct Comparison {
  DType dtype;
  std::string_view golden;
  double tolerance;
};
constexpr Comparison kComparisons[] = {{DType::kF32, "float32", kF32Tolerance},
                                       {DType::kBF16, "bfloat16", kBf16Tolerance},
                                       {DType::kF16, "float32", kF16Tolerance}};

void check_golden(const fs::path& directory, Backend& backend) {
  const GoldenFile golden(directory / "golden.safetensors");
  const auto ids = golden.ints("ids");
  // Dynamic RoPE takes its base from the longest context served, transformers from the prompt.
  const bool dynamic = directory.filename() == "llama-rope-dynamic";
  for (const Comparison& comparison : kComparisons) {
    const auto model =
        load(directory, backend, comparison.dtype, dynamic ? static_cast<int>(ids.size()) : 0);
    ModelDriver driver(*model, backend, pages_for(ids.size()));
    const auto logits = driver.prompt(driver.add_sequence(), ids, 1000);
    INFO(directory.filename() << " " << dtype_name(comparison.dtype));
    CHECK(difference(joined(logits), golden.floats(comparison.golden)) < comparison.tolerance);
  }
}

TEST_CASE("Logits of every golden model equal transformers' on every instruction set") {
  for (const char* isa : {"", "avx2", "avx512", "avx512_bf16"}) {
    const auto backend = cpu(isa);
    if (backend == nullptr) continue;
    INFO("isa '" << isa << "'");
    int cases = 0;
    for (const auto& entry : fs::directory_iterator(kGolden)) {
      if (entry.path().filename() == "demo") continue;
      ++cases;
      check_golden(entry.path(), *backend);
    }
    CHECK(cases == 24);
  }
}

TEST_CASE("Logits of the demo model equal transformers'") {
  const auto backend = cpu();
  const GoldenFile golden(kGolden / "demo/golden.safetensors");
  const auto ids = golden.ints("ids");
  const auto logits_in = [&](DType dtype) {
    const auto model = load(kDemo, *backend, dtype, 0);
    ModelDriver driver(*model, *backend, pages_for(ids.size()));
    const auto logits = driver.prompt(driver.add_sequence(), ids, 1000);
    std::vector<std::vector<float>> rows;
    for (const std::int32_t row : golden.ints("rows"))
      rows.push_back(logits[static_cast<std::size_t>(row)]);
    return joined(rows);
  };
  CHECK(difference(logits_in(DType::kF32), golden.floats("float32")) < kF32Tolerance);
  // On this model transformers' own BF16 is 0.028 away from F32: ours must not be further.
  CHECK(difference(logits_in(DType::kBF16), golden.floats("float32")) <
        difference(golden.floats("bfloat16"), golden.floats("float32")));
}

TEST_CASE("Greedy text of the demo model in F32 equals transformers'") {
  const auto backend = cpu();
  const auto model = load(kDemo, *backend, DType::kF32, 0);
  std::ifstream file(kGolden / "demo/greedy.json");
  const auto golden = nlohmann::json::parse(file);
  const auto prompts = golden["prompts"].get<std::vector<std::vector<std::int32_t>>>();
  const auto outputs = golden["outputs"].get<std::vector<std::vector<std::int32_t>>>();
  REQUIRE(prompts.size() == 20);

  // Prompts in chunks, then all sequences step by step in one batch.
  constexpr int kChunk = 7;
  ModelDriver driver(*model, *backend, 20 * pages_for(160));
  std::vector<ModelDriver::Feed> feeds;
  std::vector<std::vector<std::int32_t>> texts(prompts.size());
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const int sequence = driver.add_sequence();
    texts[i].push_back(argmax(driver.prompt(sequence, prompts[i], kChunk).back()));
    feeds.push_back({sequence, {texts[i].back()}});
  }
  while (texts[0].size() < outputs[0].size()) {
    const auto logits = driver.step(feeds);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      texts[i].push_back(argmax(logits[i]));
      feeds[i].tokens = {texts[i].back()};
    }
  }
  for (std::size_t i = 0; i < texts.size(); ++i) {
    INFO("prompt " << i);
    CHECK(texts[i] == outputs[i]);
  }
}

}  // namespace
}  // namespace dejavu
