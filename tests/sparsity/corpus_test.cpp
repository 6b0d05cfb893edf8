// Corpus files: plain text and JSON Lines, and the windows they are cut into.
#include "sparsity/corpus.h"

#include <catch2/catch.hpp>

#include "tests/support/tensor_file.h"

namespace dejavu {
namespace {

using Documents = std::vector<std::string>;

Result<Documents> read(const TemporaryDirectory& folder, const std::string& text) {
  write_text(folder.path() / "corpus", text);
  return read_documents(folder.path() / "corpus");
}

TEST_CASE("a corpus is JSON Lines or one plain text") {
  const TemporaryDirectory folder;
  CHECK(read(folder, "{\"text\": \"one\\nline\"}\n\n{\"text\": \"two\", \"id\": 3}\n").value() ==
        Documents{"one\nline", "two"});
  CHECK(read(folder, "Once upon\na time.\n").value() == Documents{"Once upon\na time.\n"});
  const std::string listing = "{\"title\": \"a listing\"}\nand prose";
  CHECK(read(folder, listing).value() == Documents{listing});

  const auto broken = read(folder, "{\"text\": \"one\"}\n{\"txt\": \"two\"}\n");
  REQUIRE_FALSE(broken);
  CHECK_THAT(broken.error().message, Catch::Contains("line 2"));
  const auto misnamed = read(folder, "\n{\"txt\": \"one\"}\n{\"txt\": \"two\"}\n");
  REQUIRE_FALSE(misnamed);
  CHECK_THAT(misnamed.error().message, Catch::Contains("line 2") && Catch::Contains("\"text\""));
  write_text(folder.path() / "prose.jsonl", "Once upon\n");
  const auto prose = read_documents(folder.path() / "prose.jsonl");
  REQUIRE_FALSE(prose);
  CHECK_THAT(prose.error().message, Catch::Contains("prose.jsonl: line 1"));
  CHECK_FALSE(read(folder, ""));
  CHECK_FALSE(read_documents(folder.path() / "nowhere"));
}

TEST_CASE("windows keep special tokens and begin documents") {
  const auto tokenizer = Tokenizer::from_file(DEJAVU_SOURCE_DIR "/models/demo/tokenizer.json");
  REQUIRE(tokenizer);
  const Documents documents = {"<|im_start|>user\nHello<|im_end|>", "</s>Once upon a time"};
  CorpusOptions options;
  options.window = 4;
  const auto windows = make_windows(documents, **tokenizer, 2, options);
  std::vector<std::int32_t> joined;
  for (const TokenWindow& window : windows) {
    CHECK(window.size() <= 4);
    joined.insert(joined.end(), window.begin(), window.end());
  }
  CHECK(joined[0] == 2);
  CHECK(joined[1] == 4);  // <|im_start|>
  CHECK(std::count(joined.begin(), joined.end(), 2) == 2);
  CHECK(token_count(windows) == static_cast<std::int64_t>(joined.size()));

  options.max_tokens = 6;
  const auto bounded = make_windows(documents, **tokenizer, 2, options);
  CHECK(token_count(bounded) == 8);  // whole windows until six are reached
}

}  // namespace
}  // namespace dejavu
