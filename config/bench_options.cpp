#include "config/option_tables.h"

namespace dejavu {

std::vector<OptionSpec> bench_options() {
  return {
      {.name = "shape",
       .commands = kBench | kPlan,
       .field = TextField{at<&Config::bench, &StepBenchOptions::shape>},
       .help =
           "a published shape instead of a model, as opt-1.3b; bench draws its weights at random"},
      {.name = "batch",
       .commands = kBench,
       .field = IntListField{at<&Config::bench, &StepBenchOptions::batches>, 1, 1024},
       .help = "decode batch sizes, as 1,16; ratios are to the first"},
      {.name = "context",
       .commands = kBench,
       .field = IntField{at<&Config::bench, &StepBenchOptions::context>, 1, 1 << 20},
       .help = "KV tokens of each sequence in decode"},
      {.name = "prefill-tokens",
       .commands = kBench,
       .field = IntField{at<&Config::bench, &StepBenchOptions::prefill_tokens>, 0, 1 << 20},
       .help = "prompt length of the prefill row; 0: no such row"},
      {.name = "rounds",
       .commands = kBench,
       .field = IntField{at<&Config::bench, &StepBenchOptions::rounds>, 1, 100000},
       .help = "times each row is measured, in turn; figures are medians"},
      {.name = "modes",
       .commands = kBench,
       .field = ListField{at<&Config::bench, &StepBenchOptions::modes>,
                          true,
                          {"dense", "exact", "lookahead", "inline", "known"}},
       .help = "modes of each decode batch; the sets of sparse ones are drawn, see --mlp-density; "
               "inline, known: lookahead with its predictors in line, and without them"},
      {.name = "mlp-density",
       .commands = kBench,
       .field = NumberField{at<&Config::bench, &StepBenchOptions::mlp_density>, 0, 1},
       .help = "share of neurons in a token's set"},
      {.name = "head-density",
       .commands = kBench,
       .field = NumberField{at<&Config::bench, &StepBenchOptions::head_density>, 0, 1},
       .help = "share of KV groups kept, mean over all layers, of which the first keeps all"},
      {.name = "union-density",
       .commands = kBench,
       .field = NumberField{at<&Config::bench, &StepBenchOptions::union_density>, 0, 1},
       .help = "share of neurons in the union of a batch's sets; 0: as independent draws give it"},
      {.name = "predictor-rank",
       .commands = kBench,
       .field = IntField{at<&Config::bench, &StepBenchOptions::predictor_rank>, 1, 4096},
       .help = "inner width of the lookahead predictors"},
  };
}

}  // namespace dejavu
