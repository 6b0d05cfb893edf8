// A model and a backend small enough to check the engine by: the next token's logits are a hash of
// the whole context, read back from the KV pages, so a wrong page, position or id changes the text.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <limits>

#include "engine/backend/cpu/sampler.h"
#include "engine/model/transformer.h"

namespace dejavu {

// `deferred`: ops run only when they are waited for, as far behind the caller as a device could be.
class FakeBackend final : public Backend {
 public:
  explicit FakeBackend(bool deferred);

  const BackendInfo& info() const override { return info_; }
  Result<Buffer> allocate(std::size_t bytes) override;
  void upload(void* device, const void* host, std::size_t bytes, StreamId stream) override;
  void download(void* host, const void* device, std::size_t bytes, StreamId stream) override;
  void order(StreamId, StreamId) override {}
  Status synchronize(StreamId stream) override;
  std::uint64_t mark(StreamId) override { return queued_; }
  Status wait(std::uint64_t mark) override;

  void embed(const EmbedArgs&, StreamId) override {}
  void norm(const NormArgs&, StreamId) override {}
  void linear(const LinearArgs&, StreamId) override {}
  void project(const ProjectArgs&, StreamId) override {}
  void mlp_up(const MlpUpArgs&, StreamId) override {}
  void store_kv(const StoreKvArgs&, StreamId) override {}
  void attention(const AttentionArgs&, StreamId) override {}
  void predict(const PredictArgs&, StreamId) override {}
  std::size_t sparse_mlp_scratch(int, int, int) const override { return 0; }
  void sparse_mlp(const SparseMlpArgs&, StreamId) override {}
  void count_nonzero(const CountNonzeroArgs&, StreamId) override {}
  void stamp(std::int64_t*, StreamId) override {}
  void sparse_mlp_add(const SparseMlpAddArgs&, StreamId) override {}
  void set_sampler_slot(const SamplerSlotArgs& args, StreamId stream) override;
  void sample(const SampleArgs& args, StreamId stream) override;
  double measure_read_bandwidth(std::size_t) override { return 1; }

  void run(std::function<void()> op);
  // The wait after so many good ones fails.
  void fail_after(int waits) { waits_left_ = waits; }
  // Called in every wait, on the engine thread: lets a test hold a step back.
  std::function<void()> on_wait;

 private:
  BackendInfo info_;
  CpuSampler sampler_;
  bool deferred_;
  std::deque<std::function<void()>> queue_;
  std::uint64_t queued_ = 0;
  std::uint64_t done_ = 0;
  int waits_left_ = std::numeric_limits<int>::max();
};

class FakeTransformer final : public Transformer {
 public:
  FakeTransformer(FakeBackend& backend, int vocab_size, int max_model_len);

  const ModelConfig& config() const override { return config_; }
  DType dtype() const override { return DType::kF32; }
  int max_model_len() const override { return config_.max_position; }
  std::size_t weight_bytes() const override { return 0; }
  std::size_t decode_bytes() const override { return 0; }
  KvCacheShape kv_shape() const override { return {1, 1, 1, DType::kF32}; }
  ConstMatrix forward(const StepBatch& batch, const KvCache& cache) override;
  void embed(const StepBatch&) override {}
  void run_layer(int, const StepBatch&, const KvView&) override {}
  ConstMatrix logits(const StepBatch&) override { return {}; }
  Matrix residual(int) const override { return {}; }

  // KV entries found that another position wrote; the engine mixed pages up when not 0.
  int misplaced() const { return misplaced_; }
  // Tokens computed so far.
  int computed() const { return computed_; }

 private:
  void compute(const StepBatch& batch, const KvView& kv, float* logits);

  FakeBackend& backend_;
  ModelConfig config_;
  std::deque<std::vector<float>> logits_;  // of the last few steps
  std::atomic<int> misplaced_{0};
  std::atomic<int> computed_{0};
};

// The logits after `context`.
std::vector<float> fake_logits(std::span<const std::int32_t> context, int vocab_size);

// What an engine alone in the world would answer.
std::vector<std::int32_t> fake_answer(const std::vector<std::int32_t>& prompt,
                                      const SamplingParams& params, int vocab_size,
                                      int max_model_len);

}  // namespace dejavu
