// An engine on a small random model with contextual sparsity.
#pragma once

#include <array>

#include "engine/backend/forwarding_backend.h"
#include "sparsity/runtime.h"
#include "tests/support/engine_harness.h"
#include "tests/support/random_artifact.h"

namespace dejavu {

// How a test wants layers read, whatever would be faster.
enum class ReadMethod { kGather, kSkipZeros, kWhole };

// An asynchronous backend, computed by the CPU, on which time passes only in gathered MLPs and
// predictors.
class SimulatedDevice final : public ForwardingBackend {
 public:
  static constexpr std::int64_t kMlp = 70;  // nanoseconds
  static constexpr std::int64_t kPredict = 100;

  explicit SimulatedDevice(Backend& cpu);
  const BackendInfo& info() const override { return info_; }
  void order(StreamId before, StreamId after) override;
  void sparse_mlp(const SparseMlpArgs& args, StreamId stream) override;
  void predict(const PredictArgs& args, StreamId stream) override;
  DeferredPredictTime deferred_predict_time() const override { return {}; }
  void stamp(std::int64_t* out, StreamId stream) override { *out = now(stream); }

 private:
  std::int64_t& now(StreamId stream) { return now_[static_cast<std::size_t>(stream)]; }

  BackendInfo info_;
  std::array<std::int64_t, 2> now_{};
};

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
    bool simulated = false;  // on a SimulatedDevice
  };
  // Throws when something of it cannot be made.
  explicit SparseEngine(const Setup& setup);

  std::unique_ptr<Backend> cpu;
  std::unique_ptr<Backend> device;  // over the CPU; null: none
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
