// What becomes of a neuron's sums: bias, activation, the token's set and cutoff, the gate's factor.
#pragma once

#include "engine/backend/backend.h"

namespace dejavu::cuda {

__device__ inline float activate(Activation kind, float x, float threshold) {
  switch (kind) {
    case Activation::kRelu:
      return x > 0 ? x : 0.0F;
    case Activation::kRelu2:
      return x > 0 ? x * x : 0.0F;
    case Activation::kSilu:
      return x / (1.0F + __expf(-x));
    case Activation::kGelu:
      return 0.5F * x * (1.0F + erff(x * 0.70710678F));
    case Activation::kGeluTanh:
      return 0.5F * x * (1.0F + tanhf(0.79788456F * (x + 0.044715F * x * x * x)));
    case Activation::kFatRelu:
      break;
  }
  return x > threshold ? x : 0.0F;
}

__device__ inline bool in_set(const MaskView& mask, std::int64_t row, std::int64_t unit) {
  return mask.words == nullptr ||
         (mask.words[row * mask.stride + unit / 32] >> unit % 32 & 1U) != 0;
}

// The first factor of neuron n for token t: of the gate, or of a plain MLP's only projection. Zero
// where the token does without the neuron.
__device__ inline float first_factor(const MlpUpArgs& args, std::int64_t t, std::int64_t n,
                                     float sum) {
  const float* bias = args.gate.data != nullptr ? args.gate_bias : args.up_bias;
  if (bias != nullptr) sum += bias[n];
  const float value = activate(args.activation, sum, args.threshold);
  if (!in_set(args.mask, t, n)) return 0.0F;
  if (args.cutoffs != nullptr && args.cutoff_level[t] >= 0 &&
      fabsf(value) <= args.cutoffs[args.cutoff_level[t] * args.up.rows + n])
    return 0.0F;
  return value;
}

// The gated neuron's value.
__device__ inline float second_factor(const MlpUpArgs& args, std::int64_t n, float first,
                                      float sum) {
  if (first == 0) return 0.0F;
  return first * (args.up_bias != nullptr ? sum + args.up_bias[n] : sum);
}

}  // namespace dejavu::cuda
