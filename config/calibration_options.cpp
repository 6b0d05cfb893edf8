#include "config/option_tables.h"

namespace dejavu {

std::vector<OptionSpec> calibration_options() {
  return {
      {.name = "effort",
       .commands = kCalibrate,
       .field = choice<&Config::calibration, &CalibrationOptions::effort>({"quick", "full"}),
       .help = "how long to train: quick takes minutes for a small model, full several times that"},
      {.name = "quality-budget",
       .commands = kCalibrate,
       .field = NumberField{at<&Config::calibration, &CalibrationOptions::quality_budget>, 0, 1},
       .help = "rise of the perplexity, relative to dense, that the default level may cost"},
      {.name = "rank",
       .commands = kCalibrate,
       .field = IntField{at<&Config::calibration, &CalibrationOptions::rank>, 1, 4096},
       .help = "width of the MLP predictors' bottleneck"},
      {.name = "train",
       .commands = kCalibrate,
       .field = FlagField{at<&Config::calibration, &CalibrationOptions::train>},
       .help = "train the predictors; without, the low-rank start and thresholds for it"},
      {.name = "heads",
       .commands = kCalibrate | kEvaluate,
       .field = FlagField{at<&Config::evaluation, &EvaluationOptions::heads>},
       .help = "leave attention heads out too; without, neurons alone"},
  };
}

}  // namespace dejavu
