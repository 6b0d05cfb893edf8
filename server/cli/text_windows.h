// What `analyze` and `eval` share: the text, cut into windows, and the model's files.
#pragma once

#include <chrono>
#include <vector>

#include "config/config.h"
#include "server/model_files.h"
#include "sparsity/corpus.h"

namespace dejavu {

inline constexpr int kTextWindow = 512;

// Reads --text and cuts it into windows of kTextWindow tokens, at most --max-tokens, or
// `default_tokens` where that is 0. Each document begins as the model's tokenizer begins a text.
Result<std::vector<TokenWindow>> read_windows(const TextOptions& options,
                                              const ModelLocation& location, int default_tokens);

// "96 windows of 512 tokens, 49152 tokens (--max-tokens 49152), 49056 predicted"
std::string describe_windows(std::span<const TokenWindow> windows, int max_tokens);

// "label: 3 of 16, about 2 min left" on standard error; each a line where that is no terminal.
class StepProgress {
 public:
  explicit StepProgress(std::string label);
  void update(int done, int total);

 private:
  std::string label_;
  bool terminal_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace dejavu
