// Finds stop strings in streamed text. Text that may turn out to begin a stop string is held back
// until it is known.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dejavu {

class StopMatcher {
 public:
  struct Result {
    std::string text;                    // final: may be shown
    std::optional<std::string> matched;  // the stop string that ended the text
  };

  // `include`: the stop string itself belongs to the text.
  StopMatcher(std::vector<std::string> stops, bool include)
      : stops_(std::move(stops)), include_(include) {}

  // A stop string that ends inside `text` ends the output when `armed`. Of several, the one that
  // ends first counts, and of those the longest, so the outcome does not depend on how the text was
  // cut into tokens. After a match nothing more may be appended.
  Result append(std::string_view text, bool armed);
  // What was held back: no stop string can complete any more.
  std::string finish();

 private:
  struct Match {
    std::size_t begin = 0, end = 0;
    const std::string* stop = nullptr;
  };
  std::optional<Match> find(std::size_t new_from) const;
  std::size_t held_suffix() const;

  std::vector<std::string> stops_;
  bool include_;
  std::string held_;
};

}  // namespace dejavu
