#include "config/option_tables.h"

namespace dejavu {

std::vector<OptionSpec> text_options() {
  return {
      {.name = "text",
       .commands = kReadsText,
       .field = ListField{at<&Config::text, &TextOptions::files>, false},
       .help = "plain text, or JSON Lines with a field \"text\"; repeat for more files"},
      {.name = "modes",
       .commands = kEvaluate,
       .field = ListField{at<&Config::evaluation, &EvaluationOptions::modes>,
                          true,
                          {"dense", "exact", "threshold", "lookahead"}},
       .help = "modes to compare with dense, as far as the model and its artifact have them"},
      {.name = "target-recall",
       .commands = kEvaluate | kCalibrate,
       .field = ListField{at<&Config::evaluation, &EvaluationOptions::target_recalls>},
       .help = "levels of the artifact, as 0.95,0.99; default: every one (calibrate: eight)"},
      {.name = "max-tokens",
       .commands = kReadsText,
       .field = IntField{at<&Config::text, &TextOptions::max_tokens>, 0, kAnyInt},
       .help = "most tokens of --text to use, in windows of 512; 0: 8192 for analyze, 49152 for "
               "eval, 262144 for calibrate (--effort full: 1048576)"},
      {.name = "out",
       .commands = kReadsText,
       .field = TextField{at<&Config::text, &TextOptions::out_directory>},
       .help = "folder for charts (SVG); calibrate: for the artifact"},
  };
}

}  // namespace dejavu
