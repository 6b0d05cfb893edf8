// Rotary position embeddings (Su et al., 2021) and the published scalings: linear, dynamic NTK,
// YaRN (Peng et al., 2023) and Llama 3's, as Hugging Face transformers computes them.
#pragma once

#include <vector>

#include "engine/model/config_reader.h"
#include "engine/model/model_config.h"

namespace dejavu {

// Reads `rope_parameters` (transformers 5) or `rope_theta` and `rope_scaling` (before). Faults are
// recorded in `in`.
RopeConfig read_rope(ConfigReader& in, int max_position);

// [length][head_dim / 2], row p for position p. The values include YaRN's attention factor.
// Dynamic NTK depends on the length of the sequence, and paged K cannot be rotated anew as a
// sequence grows: when `length` exceeds the original maximum, the base for `length` holds for every
// sequence, else the unscaled one does.
struct RopeTables {
  std::vector<float> cos;
  std::vector<float> sin;
};
RopeTables rope_tables(const RopeConfig& rope, int head_dim, int length);

}  // namespace dejavu
