// When each op of a few layers of a decode step ran, and on which stream. The stamps that tell take
// time themselves: the step is timed without them too.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/options.h"
#include "bench/sparse_layers.h"
#include "bench/stamping_backend.h"
#include "engine/model/transformer.h"

namespace dejavu {

struct Timeline {
  struct Op {
    std::string name;
    int layer = 0;
    bool side = false;
    double begin_us = 0;  // since the first op's begin
    double end_us = 0;
  };
  std::vector<Op> ops;
  int layers = 0;              // of the model
  double step_ms = 0;          // without stamps, median
  double stamped_step_ms = 0;  // likewise with them
  double tick_ns = 0;          // of the clock: what all times between stamps are multiples of
};

// Of lookahead, in a step whose stamped part took the median time of all rounds. `stamping` is the
// backend of the model, whose layers `layers` made.
Result<Timeline> record_timeline(Transformer& model, StampingBackend& stamping,
                                 const StepBenchOptions& options, SparseBenchLayers& layers);

nlohmann::ordered_json to_json(const Timeline& timeline, const StepBenchOptions& options);

}  // namespace dejavu
