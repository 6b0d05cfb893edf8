// An engine on a small random model with contextual sparsity.
#pragma once

#include "sparsity/runtime.h"
#include "tests/support/engine_harness.h"
#include "tests/support/random_artifact.h"

namespace dejavu {

// How a test wants layers read, whatever would be faster.
enum class ReadMethod { kGather, kSkipZeros, kWhole };

struct SparseEngine {
  struct Setup {
    ModelConfig config;
    RandomArtifactSpec artifact;
    SparsityOptions options = {.audit_interval = 0};
    ReadMethod method = ReadMethod::kGather;
    DType dtype = DType::kF32;
    int threads = 1;
    int launch_ahead = 0;
    double step_seconds = 1000;  // prompts whole
    bool prefix_caching = true;
    int kv_pages = 1024;
  };
  // Throws when something of it cannot be made.
  explicit SparseEngine(const Setup& setup);

  std::unique_ptr<Backend> backend;
  std::unique_ptr<SparsityRuntime> runtime;
  std::unique_ptr<Engine> engine;  // started
};

// A prompt, how to go on, and how to compute it.
struct SparseQuestion {
  std::vector<std::int32_t> prompt;
  SamplingParams params;
  SparsityChoice sparsity;
  int priority = 0;
};
// Random prompt, greedy or sampled, with log-probabilities, never stopped early.
SparseQuestion sparse_question(unsigned seed, int prompt, SparsityChoice sparsity);

// Submits all at once and waits for all.
std::vector<Answer> ask_all(Engine& engine, const std::vector<SparseQuestion>& questions);

}  // namespace dejavu
