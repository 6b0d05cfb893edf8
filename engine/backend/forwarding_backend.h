// A backend that hands every call on to another, which outlives it: the base of those that watch
// or change some.
#pragma once

#include "engine/backend/backend.h"

namespace dejavu {

class ForwardingBackend : public Backend {
 public:
  explicit ForwardingBackend(Backend& to) : to_(to) {}

  const BackendInfo& info() const override { return to_.info(); }
  Result<Buffer> allocate(std::size_t bytes) override { return to_.allocate(bytes); }
  void upload(void* device, const void* host, std::size_t bytes, StreamId stream) override {
    to_.upload(device, host, bytes, stream);
  }
  void download(void* host, const void* device, std::size_t bytes, StreamId stream) override {
    to_.download(host, device, bytes, stream);
  }
  void order(StreamId before, StreamId after) override { to_.order(before, after); }
  Status synchronize(StreamId stream) override { return to_.synchronize(stream); }
  std::uint64_t mark(StreamId stream) override { return to_.mark(stream); }
  Status wait(std::uint64_t mark) override { return to_.wait(mark); }
  void replay(const ReplayKey& key, const std::function<void()>& work) override {
    to_.replay(key, work);
  }

  void embed(const EmbedArgs& args, StreamId stream) override { to_.embed(args, stream); }
  void norm(const NormArgs& args, StreamId stream) override { to_.norm(args, stream); }
  void linear(const LinearArgs& args, StreamId stream) override { to_.linear(args, stream); }
  void project(const ProjectArgs& args, StreamId stream) override { to_.project(args, stream); }
  void mlp_up(const MlpUpArgs& args, StreamId stream) override { to_.mlp_up(args, stream); }
  void store_kv(const StoreKvArgs& args, StreamId stream) override { to_.store_kv(args, stream); }
  void attention(const AttentionArgs& args, StreamId stream) override {
    to_.attention(args, stream);
  }
  void predict(const PredictArgs& args, StreamId stream) override { to_.predict(args, stream); }
  DeferredPredictTime deferred_predict_time() const override { return to_.deferred_predict_time(); }
  std::size_t sparse_mlp_scratch(int tokens, int width, int ffn) const override {
    return to_.sparse_mlp_scratch(tokens, width, ffn);
  }
  void sparse_mlp(const SparseMlpArgs& args, StreamId stream) override {
    to_.sparse_mlp(args, stream);
  }
  void sparse_mlp_add(const SparseMlpAddArgs& args, StreamId stream) override {
    to_.sparse_mlp_add(args, stream);
  }
  void count_nonzero(const CountNonzeroArgs& args, StreamId stream) override {
    to_.count_nonzero(args, stream);
  }
  void stamp(std::int64_t* out, StreamId stream) override { to_.stamp(out, stream); }

  void set_sampler_slot(const SamplerSlotArgs& args, StreamId stream) override {
    to_.set_sampler_slot(args, stream);
  }
  void sample(const SampleArgs& args, StreamId stream) override { to_.sample(args, stream); }
  double measure_read_bandwidth(std::size_t bytes) override {
    return to_.measure_read_bandwidth(bytes);
  }

 private:
  Backend& to_;
};

}  // namespace dejavu
