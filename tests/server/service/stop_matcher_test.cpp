#include "server/stop_matcher.h"

#include <catch2/catch.hpp>
#include <random>
#include <tuple>

using namespace dejavu;

namespace {

struct Outcome {
  std::string text;
  std::optional<std::string> stop;
};

// What the output must be, looking at the whole text at once.
Outcome expected(const std::string& text, const std::vector<std::string>& stops, bool include) {
  for (std::size_t end = 1; end <= text.size(); ++end) {
    const std::string* best = nullptr;
    for (const std::string& stop : stops) {
      if (text.compare(0, end, text, 0, end) == 0 && end >= stop.size() &&
          text.compare(end - stop.size(), stop.size(), stop) == 0 &&
          (best == nullptr || stop.size() > best->size())) {
        best = &stop;
      }
    }
    if (best != nullptr) return {text.substr(0, include ? end : end - best->size()), *best};
  }
  return {text, std::nullopt};
}

}  // namespace

TEST_CASE("a stop string ends the text wherever the text is cut into tokens") {
  std::mt19937 random(7);
  for (int round = 0; round < 5000; ++round) {
    std::string text;
    for (int i = 0; i < 12; ++i) text += static_cast<char>('a' + random() % 3);
    std::vector<std::string> stops;
    for (unsigned i = 0; i < 1 + random() % 3; ++i) {
      std::string stop;
      for (unsigned k = 0; k < 1 + random() % 5; ++k) stop += static_cast<char>('a' + random() % 3);
      stops.push_back(stop);
    }
    const bool include = random() % 2 == 0;
    const Outcome want = expected(text, stops, include);

    StopMatcher matcher(stops, include);
    Outcome got;
    for (std::size_t at = 0; at < text.size() && !got.stop;) {
      const std::size_t n = 1 + random() % 4;
      auto piece = matcher.append(text.substr(at, n), true);
      at += n;
      got.text += piece.text;
      got.stop = piece.matched;
      // Nothing was shown that the final text does not hold.
      REQUIRE(want.text.compare(0, got.text.size(), got.text) == 0);
    }
    if (!got.stop) got.text += matcher.finish();
    CAPTURE(text, stops, include);
    REQUIRE(got.text == want.text);
    REQUIRE(got.stop == want.stop);
  }
}

TEST_CASE("text flows at once when it cannot begin a stop string") {
  StopMatcher matcher({"END"}, false);
  CHECK(matcher.append("hello ", true).text == "hello ");
  CHECK(matcher.append("E", true).text.empty());
  CHECK(matcher.append("N", true).text.empty());
  CHECK(matcher.append("x", true).text == "ENx");
  CHECK(matcher.append("EN", true).text.empty());
  CHECK(matcher.finish() == "EN");
}

TEST_CASE("while not armed a stop string passes, and one that ends later still counts") {
  StopMatcher matcher({"ab"}, false);
  CHECK(matcher.append("ab", false).text == "ab");
  CHECK(matcher.append("a", false).text.empty());
  const auto end = matcher.append("bc", true);
  CHECK(end.text.empty());
  CHECK(end.matched == "ab");
}
