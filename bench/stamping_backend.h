// Stamps of the device's clock (Backend::stamp()) around the ops of chosen layers. A stamp waits
// for the op before it and takes time itself.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/backend/forwarding_backend.h"

namespace dejavu {

class StampingBackend final : public ForwardingBackend {
 public:
  struct Op {
    std::string name;
    int layer = 0;
    StreamId stream = StreamId::kMain;
    std::size_t begin = 0;  // places among the stamps
    std::size_t end = 0;
  };

  // Of a step's stamps there is room for kMost.
  static constexpr std::size_t kMost = 256;
  static Result<std::unique_ptr<StampingBackend>> create(Backend& to);

  // Ops from now on are of this layer; -1: of none that is chosen.
  void enter(int layer) { layer_ = layer; }
  // Forgets the ops so far.
  void restart();
  const std::vector<Op>& ops() const { return ops_; }
  // What the last step left, in nanoseconds; waits for it. Fails when there were too many.
  Result<std::vector<std::int64_t>> stamps();

  void order(StreamId before, StreamId after) override;
  void norm(const NormArgs& args, StreamId stream) override;
  void linear(const LinearArgs& args, StreamId stream) override;
  void project(const ProjectArgs& args, StreamId stream) override;
  void mlp_up(const MlpUpArgs& args, StreamId stream) override;
  void store_kv(const StoreKvArgs& args, StreamId stream) override;
  void attention(const AttentionArgs& args, StreamId stream) override;
  void predict(const PredictArgs& args, StreamId stream) override;
  void sparse_mlp(const SparseMlpArgs& args, StreamId stream) override;
  void sparse_mlp_add(const SparseMlpAddArgs& args, StreamId stream) override;

 private:
  explicit StampingBackend(Backend& to, Buffer memory)
      : ForwardingBackend(to), memory_(std::move(memory)) {}

  std::size_t stamp_here(StreamId stream);
  template <class Run>
  void stamped(const char* name, StreamId stream, const Run& run);

  Buffer memory_;
  int layer_ = -1;
  bool in_mlp_ = false;  // between its halves
  std::size_t used_ = 0;
  // Where a stream's last stamp is; none when it has waited for the other since.
  std::array<std::optional<std::size_t>, 2> last_;
  std::vector<Op> ops_;
};

}  // namespace dejavu
