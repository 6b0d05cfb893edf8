#include "bench/cublas_chain.h"

#include <algorithm>
#include <chrono>
#include <random>

#include "bench/median.h"
#include "engine/backend/cuda/gemm.h"
#include "engine/backend/cuda/recordings.h"
#include "engine/backend/cuda/resources.h"

namespace dejavu {
namespace {

class Chain {
 public:
  Chain(const CublasChainArgs& args, std::unique_ptr<cuda::Gemm> gemm)
      : args_(args), gemm_(std::move(gemm)), recordings_(errors_) {}

  Result<double> run() {
    if (Status ready = prepare(); !ready) return tl::unexpected(ready.error());
    std::vector<double> seconds;
    // The first two rounds choose algorithms and record.
    for (int round = 0; round < args_.rounds + 3; ++round) {
      const auto start = std::chrono::steady_clock::now();
      recordings_.replay({args_.batch}, stream_.get(), [this] { step(); });
      errors_.check(cudaStreamSynchronize(stream_.get()));
      const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
      if (round >= 3) seconds.push_back(taken.count());
    }
    if (Status done = errors_.status(); !done) return tl::unexpected(done.error());
    return median(std::move(seconds));
  }

 private:
  Status prepare() {
    const LayerContext& any = args_.layers.front();
    const ModelConfig& config = any.config;
    const auto widest = static_cast<std::size_t>(std::max<std::int64_t>(
        {config.ffn_size, any.workspace.qkv.cols, any.workspace.logits.cols}));
    const auto tokens = static_cast<std::size_t>(args_.batch);
    stream_ = cuda::make_stream(errors_, cuda::Priority::kLow);
    arena_ = cuda::make_device_memory(errors_, cuda::Gemm::kWorkspaceBytes);
    y_ = cuda::make_device_memory(errors_, tokens * widest * sizeof(float));
    fill(x_, tokens * widest);
    fill(head_, static_cast<std::size_t>(config.vocab_size) *
                    static_cast<std::size_t>(config.embedding_size));
    queue_.stream = stream_.get();
    queue_.errors = &errors_;
    queue_.arena = static_cast<std::byte*>(arena_.get());
    queue_.arena_bytes = cuda::Gemm::kWorkspaceBytes;
    return errors_.status();
  }

  // Random values of the layers' dtype.
  void fill(cuda::DeviceMemory& to, std::size_t count) {
    constexpr std::size_t kPeriod = std::size_t{1} << 20;
    const DType dtype = args_.layers.front().weights.mlp.up.dtype;
    const std::size_t element = dtype_size(dtype);
    std::vector<std::byte> values(kPeriod * element);
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0, 0.02F);
    for (std::size_t i = 0; i < kPeriod; ++i)
      store_element(values.data(), dtype, i, normal(random));
    to = cuda::make_device_memory(errors_, count * element);
    if (!errors_.status()) return;
    for (std::size_t at = 0; at < count * element; at += values.size())
      errors_.check(cudaMemcpy(static_cast<std::byte*>(to.get()) + at, values.data(),
                               std::min(values.size(), count * element - at),
                               cudaMemcpyHostToDevice));
  }

  void step() {
    for (const LayerContext& layer : args_.layers) {
      const LayerWeights& weights = layer.weights;
      multiply(weights.attention.qkv, false);
      multiply(weights.attention.out, true);
      if (weights.mlp.gate.data != nullptr) multiply(weights.mlp.gate, false);
      multiply(weights.mlp.up, false);
      multiply(weights.mlp.down, true);
    }
    const ModelConfig& config = args_.layers.front().config;
    multiply({head_.get(), args_.layers.front().weights.mlp.up.dtype, config.vocab_size,
              config.embedding_size, config.embedding_size},
             false);
  }

  void multiply(const ConstMatrix& w, bool inputs_are_rows) {
    const std::int64_t in = inputs_are_rows ? w.rows : w.cols;
    const std::int64_t out = inputs_are_rows ? w.cols : w.rows;
    gemm_->run(queue_, {{x_.get(), w.dtype, args_.batch, in, in},
                        w,
                        inputs_are_rows,
                        {y_.get(), DType::kF32, args_.batch, out, out}});
  }

  const CublasChainArgs& args_;
  std::unique_ptr<cuda::Gemm> gemm_;
  cuda::Errors errors_;
  cuda::Recordings recordings_;
  cuda::Stream stream_;
  cuda::DeviceMemory arena_, x_, y_, head_;
  cuda::Queue queue_;
};

}  // namespace

Result<double> time_cublas_chain(const CublasChainArgs& args) {
  if (args.layers.front().backend.info().device != "cuda") return 0.0;
  std::unique_ptr<cuda::Gemm> gemm = cuda::Gemm::open();
  if (gemm == nullptr) return 0.0;
  return Chain(args, std::move(gemm)).run();
}

}  // namespace dejavu
