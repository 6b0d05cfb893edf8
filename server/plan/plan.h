// `dejavu plan`: what serving a model on this machine comes to, from its shape alone.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/model/model_config.h"
#include "engine/options.h"
#include "sparsity/artifact.h"

namespace dejavu {

struct PlanInput {
  std::string model;  // as it goes on the command line
  ModelConfig config;
  DType stored = DType::kF32;
  DType dtype = DType::kF32;  // served in
  BackendInfo machine;
  double read_gbps = 0;  // measured
  EngineOptions engine;
  int max_model_len = 0;               // 0: the model's own
  const Artifact* artifact = nullptr;  // null: none
};

// Decoding one sequence, bound by what must be read a token.
struct PlanSpeed {
  std::string mode;
  std::string basis;  // where the densities come from
  double mlp_density = 1;
  double head_density = 1;
  double bytes = 0;              // of weights and predictors a token
  double tokens_per_second = 0;  // at most, at the start of the context
  double at_full_context = 0;    // at most, with max_model_len tokens of KV to read
};

struct Plan {
  PlanInput input;
  bool fits = false;
  std::string problem;  // when it does not fit: numbers and what to do
  int max_model_len = 0;
  std::size_t weight_bytes = 0;
  std::size_t kv_token_bytes = 0;
  int kv_tokens = 0;
  std::vector<PlanSpeed> speeds;   // dense first
  std::vector<std::string> flags;  // of `dejavu serve`, each with its value
};

Plan make_plan(PlanInput input);

std::string to_table(const Plan& plan);
nlohmann::ordered_json to_json(const Plan& plan);

}  // namespace dejavu
