// What the step benchmark measures, filled in by config/.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dejavu {

struct StepBenchOptions {
  std::string shape;                // a named shape with random weights; empty: the model
  std::vector<int> batches{1, 16};  // decode: sequences, one token each
  int context = 128;                // decode: KV tokens of each sequence, the new one included
  int prefill_tokens = 512;         // one sequence, whole prompt in one step; 0: no prefill row
  int rounds = 9;
  // Of each decode batch: dense, exact, lookahead; inline and known (sparse_layers.h).
  std::vector<std::string> modes{"dense"};
  double mlp_density = 0.1;   // share of neurons in a token's set
  double head_density = 0.5;  // share of KV groups, mean over all layers
  double union_density = 0;   // share of neurons in a batch's union; 0: as drawn
  int predictor_rank = 128;
  std::uint64_t seed = 1;  // weights of a shape, token ids, and sets
};

}  // namespace dejavu
