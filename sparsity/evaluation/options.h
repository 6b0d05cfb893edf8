// What the commands that read text are asked for, filled in by config/.
#pragma once

#include <string>
#include <vector>

namespace dejavu {

// Shared by every such command.
struct TextOptions {
  std::vector<std::string> files;  // plain text, or JSON Lines with a field "text"
  int max_tokens = 0;              // 0: the command's own limit
  std::string out_directory;       // for charts; empty: none
};

struct EvaluationOptions {
  std::vector<std::string> modes = {"dense", "exact", "threshold", "lookahead"};
  std::vector<std::string> target_recalls;  // levels of the artifact; empty: every one
  bool heads = true;                        // else lookahead leaves out neurons alone
};

}  // namespace dejavu
