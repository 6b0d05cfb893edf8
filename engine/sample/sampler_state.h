// What the sampler knows of one sequence: its parameters, its seed, and the tokens seen so far.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/sample/sampling_params.h"

namespace dejavu {

// A token that occurred, for the penalties.
struct TokenCount {
  std::int32_t token = 0;
  int in_output = 0;
};

class SamplerState {
 public:
  void reset(const SamplingParams& params, std::uint64_t seed, std::span<const std::int32_t> prompt,
             std::span<const std::int32_t> output);
  // Appends a sampled token.
  void advance(std::int32_t token);

  const SamplingParams& params() const { return params_; }
  std::uint64_t seed() const { return seed_; }
  std::span<const std::int32_t> output() const { return output_; }
  // Tokens of prompt and output, ascending; empty when no penalty is on.
  std::span<const TokenCount> counts() const { return counts_; }

 private:
  void count(std::int32_t token, int in_output);

  SamplingParams params_;
  std::uint64_t seed_ = 0;
  std::vector<std::int32_t> output_;
  std::vector<TokenCount> counts_;
  bool penalised_ = false;
};

}  // namespace dejavu
