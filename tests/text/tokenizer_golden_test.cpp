// Token ids and texts equal Hugging Face tokenizers'.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/text/detokenizer.h"
#include "engine/text/tokenizer.h"
#include "engine/text/utf8.h"
#include "tests/text/golden_texts.h"

namespace dejavu {
namespace {

using TokenizerPtr = std::shared_ptr<const Tokenizer>;

TokenizerPtr load(const std::filesystem::path& file) {
  auto tokenizer = Tokenizer::from_file(file);
  if (!tokenizer) FAIL(tokenizer.error().message);
  return *tokenizer;
}

// Also checks that streaming gives the same text, whole characters at a time.
std::string decode_both_ways(const TokenizerPtr& tokenizer, const std::vector<std::int32_t>& ids,
                             bool skip_special_tokens) {
  const std::string text = tokenizer->decode(ids, skip_special_tokens);
  Detokenizer stream(tokenizer, skip_special_tokens);
  std::string streamed;
  for (const std::int32_t id : ids) {
    const std::string part = stream.append(id);
    REQUIRE(is_utf8(part));
    streamed += part;
  }
  streamed += stream.finish();
  REQUIRE(streamed == text);
  return text;
}

struct Counts {
  std::size_t strings;
  std::size_t sequences;
};

// How many of the strings and sequences differ; the first few are reported.
void check_hashes(const TokenizerPtr& tokenizer, std::span<const std::uint32_t> expected,
                  Counts counts) {
  REQUIRE(expected.size() == 2 * counts.strings + counts.sequences);
  const std::vector<std::string> fragments = golden::read_fragments();
  std::size_t wrong = 0;
  std::string reports;
  const auto report = [&](const std::string& what, std::size_t index, const auto& value) {
    if (++wrong > 5) return;
    reports += what + " " + std::to_string(index) + ": " + nlohmann::json(value).dump() + "\n";
  };
  for (std::size_t i = 0; i < counts.strings; ++i) {
    const std::string text = golden::compose(i, fragments);
    std::vector<std::int32_t> ids = tokenizer->encode(text, false);
    const std::vector<std::int32_t> special = tokenizer->encode(text, true);
    ids.insert(ids.end(), special.begin(), special.end());
    if (golden::hash_ids(ids) != expected[2 * i]) {
      report("ids of string", i, text);
    } else if (golden::hash_bytes(decode_both_ways(tokenizer, special, false) +
                                  decode_both_ways(tokenizer, special, true)) !=
               expected[2 * i + 1]) {
      report("text of string", i, text);
    }
  }
  for (std::size_t i = 0; i < counts.sequences; ++i) {
    const std::vector<std::int32_t> ids = golden::id_sequence(i, tokenizer->vocab_size());
    if (golden::hash_bytes(decode_both_ways(tokenizer, ids, false)) !=
        expected[2 * counts.strings + i]) {
      report("text of sequence", i, ids);
    }
  }
  INFO(reports);
  CHECK(wrong == 0);
}

TEST_CASE("ids and texts of 12,000 strings equal Hugging Face tokenizers'") {
  const std::string name = GENERATE("demo", "gpt2", "llama", "llama3");
  INFO(name);
  check_hashes(load(golden::tokenizer_file(name)), golden::read_hashes(name + ".u32"),
               {12'000, 2'000});
}

TEST_CASE("ids of example strings equal Hugging Face tokenizers'") {
  std::ifstream file(golden::folder() / "examples.json");
  const auto examples = nlohmann::json::parse(file);
  for (const auto& [name, texts] : examples.items()) {
    const TokenizerPtr tokenizer = load(golden::tokenizer_file(name));
    for (const auto& example : texts) {
      INFO(name << ": " << example["text"]);
      CHECK(tokenizer->encode(example["text"].get<std::string>(), true) ==
            example["ids"].get<std::vector<std::int32_t>>());
    }
  }
}

TEST_CASE(
    "every kind of normalizer, pre-tokenizer, post-processor and decoder equals tokenizers'") {
  constexpr Counts kCounts{1'000, 200};
  constexpr std::size_t kHashes = 2 * kCounts.strings + kCounts.sequences;
  std::ifstream file(golden::folder() / "variants.json");
  const auto variants = nlohmann::json::parse(file);
  const std::vector<std::uint32_t> hashes = golden::read_hashes("variants.u32");
  REQUIRE(hashes.size() == variants.size() * kHashes);
  const auto scratch = std::filesystem::temp_directory_path() /
                       ("dejavu-variant-" + std::to_string(::getpid()) + ".json");
  for (std::size_t i = 0; i < variants.size(); ++i) {
    const auto& variant = variants[i];
    INFO(variant["name"]);
    std::ifstream base_file(golden::tokenizer_file(variant["base"].get<std::string>()));
    auto tokenizer_json = nlohmann::json::parse(base_file);
    for (const auto& [key, value] : variant["patch"].items()) tokenizer_json[key] = value;
    for (const auto& [key, value] : variant["model_patch"].items()) {
      tokenizer_json["model"][key] = value;
    }
    std::ofstream(scratch) << tokenizer_json.dump();
    check_hashes(load(scratch), std::span(hashes).subspan(i * kHashes, kHashes), kCounts);
  }
  std::filesystem::remove(scratch);
}

}  // namespace
}  // namespace dejavu
