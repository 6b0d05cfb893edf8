#include "config/option_tables.h"

namespace dejavu {

std::vector<OptionSpec> sparsity_options() {
  return {
      {.name = "sparsity",
       .commands = kLoadsModel,
       .field = choice<&Config::sparsity, &SparsityOptions::mode>(
           {"auto", "dense", "exact", "threshold", "lookahead"}),
       .help = "which neurons and heads a generated token computes; auto: what the model's "
               "artifact says is worth it; without one, exact where activations have zeros, else "
               "dense"},
      {.name = "sparsity-allow",
       .commands = kServe,
       .field = ListField{at<&Config::sparsity, &SparsityOptions::allow>,
                          true,
                          {"dense", "exact", "threshold", "lookahead"}},
       .help = "modes that a request may choose; default: every one the model and its artifact "
               "make possible"},
      {.name = "sparsity-artifact",
       .commands = kLoadsModel | kEvaluate | kPlan,
       .field = TextField{at<&Config::sparsity, &SparsityOptions::artifact_directory>},
       .help = "folder that dejavu calibrate wrote; default: MODEL/sparsity, when it is there"},
      {.name = "target-recall",
       .commands = kLoadsModel,
       .field = NumberField{at<&Config::sparsity, &SparsityOptions::target_recall>, 0, 1},
       .help = "level of the artifact to compute at; 0: the artifact's own default"},
      {.name = "max-density",
       .commands = kLoadsModel,
       .field = NumberField{at<&Config::sparsity, &SparsityOptions::max_density>, 0, 1},
       .help = "a layer gathers its neurons only while the step's tokens are expected to need at "
               "most this share of them"},
      {.name = "inline-predictors",
       .commands = kLoadsModel,
       .field = FlagField{at<&Config::sparsity, &SparsityOptions::inline_predictors>},
       .help = "run predictors between the layers' other work instead of beside it, to measure "
               "what the overlap gains"},
      {.name = "audit-interval",
       .commands = kServe,
       .field = IntField{at<&Config::sparsity, &SparsityOptions::audit_interval>, 0, kAnyInt},
       .help = "steps between two comparisons of a sparse layer with the dense one; 0: none"},
      {.name = "audit-error-limit",
       .commands = kServe,
       .field =
           NumberField{at<&Config::sparsity, &SparsityOptions::audit_error_limit>, 0, kAnyNumber},
       .help = "relative error of a layer's output above which it is widened, then made dense"},
  };
}

}  // namespace dejavu
