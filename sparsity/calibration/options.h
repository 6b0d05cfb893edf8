// What `dejavu calibrate` is asked for, filled in by config/.
#pragma once

#include <string>
#include <vector>

namespace dejavu {

enum class CalibrationEffort { kQuick, kFull };

struct CalibrationOptions {
  CalibrationEffort effort = CalibrationEffort::kQuick;
  double quality_budget = 0.01;  // perplexity rise that the default level may cost
  std::vector<double> target_recalls = {0.9, 0.95, 0.98, 0.9825, 0.985, 0.9875, 0.99, 0.995};
  int rank = 128;
  bool train = true;
};

}  // namespace dejavu
