// What tokenizers cannot be compared for: invalid UTF-8, damaged files, long texts.
#include "engine/text/tokenizer.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "engine/text/detokenizer.h"
#include "engine/text/utf8.h"
#include "tests/text/golden_texts.h"

namespace dejavu {
namespace {

using Json = nlohmann::json;
using Catch::Matchers::Contains;
using TokenizerPtr = std::shared_ptr<const Tokenizer>;

TokenizerPtr load(const std::string& name) {
  auto tokenizer = Tokenizer::from_file(golden::tokenizer_file(name));
  if (!tokenizer) FAIL(tokenizer.error().message);
  return *tokenizer;
}

Result<TokenizerPtr> load_text(const std::string& content) {
  const auto file = std::filesystem::temp_directory_path() /
                    ("dejavu-tokenizer-" + std::to_string(::getpid()) + ".json");
  std::ofstream(file, std::ios::binary) << content;
  auto tokenizer = Tokenizer::from_file(file);
  std::filesystem::remove(file);
  return tokenizer;
}

Json read_json(const std::string& name) {
  std::ifstream file(golden::tokenizer_file(name));
  return Json::parse(file);
}

std::string bytes_of(const Tokenizer& tokenizer, const std::vector<std::int32_t>& ids) {
  std::string bytes;
  for (const std::int32_t id : ids) bytes += tokenizer.token_bytes(id);
  return bytes;
}

TEST_CASE("bytes that are not UTF-8 come back through token_bytes") {
  const std::string name = GENERATE("demo", "gpt2", "llama", "llama3");
  const TokenizerPtr tokenizer = load(name);
  const std::string prefix = name == "llama" ? " " : "";  // its normalizer prepends one
  const std::vector<std::string> parts = {
      "\xff", "\xc0\x80", "\xed\xa0\x80", "\xf0\x9f\x98", "\xe4\xbd", "\x80",
      "a",    " b",       "\xe4\xbd\xa0", "\n",           "12",       "\xf5"};
  for (std::uint64_t i = 0; i < 3'000; ++i) {
    const std::string text = golden::compose(i, parts);
    const std::vector<std::int32_t> ids = tokenizer->encode(text, false);
    REQUIRE(bytes_of(*tokenizer, ids) == prefix + text);
    REQUIRE(is_utf8(tokenizer->decode(ids, false)));
  }
}

TEST_CASE("a text of one megabyte takes no quadratic time") {
  const TokenizerPtr tokenizer = load(GENERATE("demo", "gpt2", "llama", "llama3"));
  const std::string unit = GENERATE("a", "ab", " ", "\n", "1", "\xe4\xbd\xa0", "!", "\xff");
  std::string text;
  while (text.size() < 1'000'000) text += unit;
  const std::vector<std::int32_t> ids = tokenizer->encode(text, false);
  const std::string bytes = bytes_of(*tokenizer, ids);
  CHECK(bytes.substr(bytes.size() - text.size()) == text);
}

TEST_CASE("a stream holds back half a character and ends with U+FFFD") {
  const TokenizerPtr tokenizer = load("demo");
  const std::vector<std::int32_t> ids = tokenizer->encode("\xf0\x9f\x98", false);
  Detokenizer stream(tokenizer, true);
  for (const std::int32_t id : ids) CHECK(stream.append(id).empty());
  CHECK(stream.finish() == "\xef\xbf\xbd");
}

TEST_CASE("special tokens are found by name and can be left out of a text") {
  const TokenizerPtr tokenizer = load("demo");
  const auto end = tokenizer->token_id("<|im_end|>");
  REQUIRE(end == 5);
  CHECK(tokenizer->is_special(*end));
  CHECK_FALSE(tokenizer->is_special(100));
  CHECK(tokenizer->token_text(*end) == "<|im_end|>");
  CHECK(tokenizer->token_bytes(*end) == "<|im_end|>");
  CHECK(tokenizer->vocab_size() == 4096);
  const std::vector<std::int32_t> ids = tokenizer->encode("hi<|im_end|>", true);
  CHECK(ids.front() == 2);
  CHECK(tokenizer->decode(ids, true) == "hi");
  CHECK(tokenizer->decode(ids, false) == "</s>hi<|im_end|>");
  CHECK(tokenizer->token_text(-1).empty());
  CHECK(tokenizer->token_bytes(1 << 30).empty());
  CHECK(tokenizer->decode(std::vector<std::int32_t>{-1, 1 << 30}, false).empty());
}

TEST_CASE("a damaged tokenizer.json is refused with its name and part") {
  using Damage = std::function<void(Json&)>;
  const auto [damage, part] = GENERATE(table<Damage, std::string>({
      {[](Json& j) { j.erase("model"); }, "'model'"},
      {[](Json& j) { j["model"] = 3; }, "'model'"},
      {[](Json& j) { j["model"]["type"] = "Unigram"; }, "Unigram"},
      {[](Json& j) { j["model"]["vocab"] = Json::array(); }, "'model.vocab'"},
      {[](Json& j) { j["model"]["vocab"]["a"] = -1; }, "'model.vocab['a']'"},
      {[](Json& j) { j["model"]["vocab"]["a"] = 1e9; }, "'model.vocab['a']'"},
      {[](Json& j) { j["model"]["vocab"]["a"] = 4'000'000'000U; }, "'model.vocab['a']'"},
      {[](Json& j) { j["model"]["vocab"]["a"] = j["model"]["vocab"]["b"]; }, "more than one"},
      {[](Json& j) { j["model"].erase("merges"); }, "'merges'"},
      {[](Json& j) { j["model"]["merges"][2] = "a b c"; }, "'model.merges[2]'"},
      {[](Json& j) {
         j["model"]["merges"][2] = {"a", "\xe2\x80\xbd"};
       },
       "'model.merges[2]'"},
      {[](Json& j) { j["model"]["merges"][0] = 7; }, "'model.merges[0]'"},
      {[](Json& j) { j["model"]["unk_token"] = "<nowhere>"; }, "'model.unk_token'"},
      {[](Json& j) { j["model"]["dropout"] = 0.1; }, "'model.dropout'"},
      {[](Json& j) { j["model"]["end_of_word_suffix"] = "</w>"; }, "'model.end_of_word_suffix'"},
      {[](Json& j) { j["added_tokens"][0].erase("id"); }, "'added_tokens[0]'"},
      {[](Json& j) { j["added_tokens"][0]["id"] = 7; }, "'added_tokens[0]'"},
      {[](Json& j) { j["added_tokens"][0]["lstrip"] = 1; }, "'added_tokens[0].lstrip'"},
      {[](Json& j) {
         j["normalizer"] = {{"type", "Precompiled"}};
       },
       "Precompiled"},
      {[](Json& j) {
         j["normalizer"] = {{"type", "Nmt"}};
       },
       "Nmt"},
      {[](Json& j) { j["pre_tokenizer"] = Json::object(); }, "'pre_tokenizer'"},
      {[](Json& j) {
         j["pre_tokenizer"] = {
             {"type", "Split"}, {"pattern", {{"Regex", "(a"}}}, {"behavior", "Isolated"}};
       },
       "'pre_tokenizer.pattern'"},
      {[](Json& j) {
         j["pre_tokenizer"] = {
             {"type", "Split"}, {"pattern", {{"String", "a"}}}, {"behavior", "Halved"}};
       },
       "'pre_tokenizer.behavior'"},
      {[](Json& j) { j["post_processor"]["processors"][1]["single"] = 1; },
       "'post_processor.processors[1].single'"},
      {[](Json& j) {
         j["post_processor"]["processors"][1]["special_tokens"]["</s>"]["ids"] = {99'999};
       },
       "ids[0]'"},
      {[](Json& j) {
         j["decoder"] = {{"type", "WordPiece"}};
       },
       "WordPiece"},
      {[](Json& j) {
         for (int i = 0; i < 500; ++i) {
           j["normalizer"] = {{"type", "Sequence"}, {"normalizers", {j["normalizer"]}}};
         }
       },
       "nested too deeply"},
  }));
  Json json = read_json("demo");
  json["normalizer"] = {{"type", "NFC"}};
  damage(json);
  const auto tokenizer = load_text(json.dump());
  REQUIRE_FALSE(tokenizer.has_value());
  CHECK(tokenizer.error().code == ErrorCode::kInvalidArgument);
  CHECK_THAT(tokenizer.error().message, Contains("dejavu-tokenizer-"));
  CHECK_THAT(tokenizer.error().message, Contains(part));
}

TEST_CASE("a truncated or changed tokenizer.json never crashes") {
  const std::string content = read_json("llama3").dump();
  for (std::size_t i = 0; i < content.size(); i += 997) {
    CHECK_FALSE(load_text(content.substr(0, i)).has_value());
    std::string changed = content;
    changed[i] = static_cast<char>(changed[i] ^ 5);
    static_cast<void>(load_text(changed));
  }
}

TEST_CASE("a file that is not there is named") {
  const auto tokenizer = Tokenizer::from_file("/nowhere/tokenizer.json");
  REQUIRE_FALSE(tokenizer.has_value());
  CHECK_THAT(tokenizer.error().message, Contains("/nowhere/tokenizer.json"));
}

}  // namespace
}  // namespace dejavu
