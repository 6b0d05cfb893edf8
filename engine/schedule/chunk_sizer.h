// How many tokens a step should hold so that it takes about `target_seconds`, from the speed of
// recent steps with prompt tokens. For synchronous backends: there, a long prompt chunk delays
// every other sequence's next token.
#pragma once

namespace dejavu {

class ChunkSizer {
 public:
  // `most`: the step's token budget.
  ChunkSizer(double target_seconds, int most);

  int step_tokens() const;
  void measured(int prompt_tokens, int tokens, double seconds);

 private:
  double target_seconds_;
  int most_;
  double tokens_per_second_ = 0;  // 0: nothing measured yet
};

}  // namespace dejavu
