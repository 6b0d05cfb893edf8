// The CUDA backend: each op becomes kernels on one of two streams. Nothing waits for the device but
// synchronize(), wait(), measure_read_bandwidth(), and allocations that do not fit what is there.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/cuda/gemm.h"
#include "engine/backend/cuda/queue.h"
#include "engine/backend/cuda/recordings.h"
#include "engine/backend/cuda/resources.h"
#include "engine/backend/cuda/sampler.h"
#include "engine/backend/cuda/staging.h"

namespace dejavu::cuda {

class CudaBackend final : public Backend {
 public:
  // The error says why no GPU can be used.
  static Result<std::unique_ptr<Backend>> create();
  ~CudaBackend() override;

  const BackendInfo& info() const override { return info_; }

  Result<Buffer> allocate(std::size_t bytes) override;
  void upload(void* device, const void* host, std::size_t bytes, StreamId stream) override;
  void download(void* host, const void* device, std::size_t bytes, StreamId stream) override;
  void order(StreamId before, StreamId after) override;
  Status synchronize(StreamId stream) override;
  std::uint64_t mark(StreamId stream) override;
  Status wait(std::uint64_t mark) override;
  void replay(const ReplayKey& key, const std::function<void()>& work) override;

  void embed(const EmbedArgs& args, StreamId stream) override;
  void norm(const NormArgs& args, StreamId stream) override;
  void linear(const LinearArgs& args, StreamId stream) override;
  void project(const ProjectArgs& args, StreamId stream) override;
  void mlp_up(const MlpUpArgs& args, StreamId stream) override;
  void store_kv(const StoreKvArgs& args, StreamId stream) override;
  void attention(const AttentionArgs& args, StreamId stream) override;
  void predict(const PredictArgs& args, StreamId stream) override;
  std::size_t sparse_mlp_scratch(int tokens, int width, int ffn) const override;
  void sparse_mlp(const SparseMlpArgs& args, StreamId stream) override;
  void sparse_mlp_add(const SparseMlpAddArgs& args, StreamId stream) override;
  void count_nonzero(const CountNonzeroArgs& args, StreamId stream) override;
  void stamp(std::int64_t* out, StreamId stream) override;

  void set_sampler_slot(const SamplerSlotArgs& args, StreamId stream) override;
  void sample(const SampleArgs& args, StreamId stream) override;

  double measure_read_bandwidth(std::size_t bytes) override;

 private:
  CudaBackend() = default;

  struct Lane {
    Stream stream;
    Event reached;       // what the other lane may have to wait for
    bool used = false;   // since `reached` was recorded
    bool waits = false;  // for the other lane's `reached`, before anything else
    int ops = 0;         // since something else may have written what ops read as ready
    // The sets that were predicted last, and by which op.
    struct Predicted {
      const void* sets = nullptr;
      int op = 0;
    };
    std::array<Predicted, 2> predicted;
    DeviceMemory arena;
    DeviceMemory tickets;
    Queue queue;
  };
  struct Mark {
    std::uint64_t number = 0;
    Event event;
    cudaStream_t stream = nullptr;
  };

  Status prepare();
  Status prepare(Lane& lane, std::size_t arena_bytes, Priority priority);
  void describe_device(const cudaDeviceProp& properties);
  Lane& lane(StreamId id) { return lanes_[static_cast<std::size_t>(id)]; }
  // The lane, ready for work: what it waits for is queued.
  Lane& use(StreamId id);
  // The queue of a used lane, for one op, which reads `sets` (null: none).
  Queue queue(StreamId id, const MaskView& sets = {});

  BackendInfo info_;
  bool early_start_ = false;
  Errors errors_;
  std::unique_ptr<Gemm> gemm_;
  std::unique_ptr<Staging> staging_;
  std::unique_ptr<Sampler> sampler_;
  std::array<Lane, 2> lanes_;
  std::deque<Mark> marks_;
  std::vector<Event> spare_events_;
  std::unique_ptr<Recordings> recordings_;
  Buffer probe_;
};

}  // namespace dejavu::cuda
