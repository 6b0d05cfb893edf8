// Artifacts from random predictors: sets that follow from the residual stream and mean nothing.
#pragma once

#include "engine/model/model_config.h"
#include "sparsity/artifact.h"

namespace dejavu {

struct RandomArtifactSpec {
  // A lookahead level for each, with about this share of neurons and of heads in the sets; 1: all.
  std::vector<double> mlp_density = {0.5, 0.2};
  std::vector<double> head_density = {0.7, 0.4};
  // A threshold level for each: activations up to it count as zeros.
  std::vector<float> cutoffs = {0.02F, 0.1F};
  int rank = 8;
  int dense_layer = -1;  // without predictors
  unsigned seed = 1;
};

// Level i has target_recall 0.99 - i / 100.
Artifact random_artifact(const ModelConfig& config, const RandomArtifactSpec& spec);

}  // namespace dejavu
