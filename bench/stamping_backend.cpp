#include "bench/stamping_backend.h"

#include <algorithm>
#include <utility>

namespace dejavu {

Result<std::unique_ptr<StampingBackend>> StampingBackend::create(Backend& to) {
  auto memory = to.allocate(kMost * sizeof(std::int64_t));
  if (!memory) return tl::unexpected(memory.error());
  return std::unique_ptr<StampingBackend>(new StampingBackend(to, std::move(*memory)));
}

void StampingBackend::restart() {
  used_ = 0;
  last_ = {};
  ops_.clear();
}

Result<std::vector<std::int64_t>> StampingBackend::stamps() {
  if (used_ > kMost)
    return invalid("the chosen layers have more ops than there is room for stamps");
  std::vector<std::int64_t> stamps(used_);
  download(stamps.data(), memory_.data(), used_ * sizeof(std::int64_t), StreamId::kMain);
  if (Status done = synchronize(StreamId::kMain); !done) return tl::unexpected(done.error());
  return stamps;
}

std::size_t StampingBackend::stamp_here(StreamId stream) {
  const std::size_t place = std::min(used_++, kMost - 1);
  stamp(memory_.as<std::int64_t>() + place, stream);
  return place;
}

template <class Run>
void StampingBackend::stamped(const char* name, StreamId stream, const Run& run) {
  if (layer_ < 0) return run();
  auto& last = last_[static_cast<std::size_t>(stream)];
  const std::size_t begin = last ? *last : stamp_here(stream);
  run();
  last = stamp_here(stream);
  ops_.push_back({name, layer_, stream, begin, *last});
}

void StampingBackend::order(StreamId before, StreamId after) {
  ForwardingBackend::order(before, after);
  last_[static_cast<std::size_t>(after)].reset();
}

void StampingBackend::norm(const NormArgs& args, StreamId stream) {
  stamped("norm", stream, [&] { ForwardingBackend::norm(args, stream); });
}
void StampingBackend::linear(const LinearArgs& args, StreamId stream) {
  stamped("Q, K, V", stream, [&] { ForwardingBackend::linear(args, stream); });
}
void StampingBackend::project(const ProjectArgs& args, StreamId stream) {
  const char* name = std::exchange(in_mlp_, false) ? "MLP, second half" : "output projection";
  stamped(name, stream, [&] { ForwardingBackend::project(args, stream); });
}
void StampingBackend::mlp_up(const MlpUpArgs& args, StreamId stream) {
  in_mlp_ = true;
  stamped("MLP, first half", stream, [&] { ForwardingBackend::mlp_up(args, stream); });
}
void StampingBackend::store_kv(const StoreKvArgs& args, StreamId stream) {
  stamped("store K, V", stream, [&] { ForwardingBackend::store_kv(args, stream); });
}
void StampingBackend::attention(const AttentionArgs& args, StreamId stream) {
  stamped("attention", stream, [&] { ForwardingBackend::attention(args, stream); });
}
void StampingBackend::predict(const PredictArgs& args, StreamId stream) {
  const char* name = args.predictor.down != nullptr ? "predict neurons" : "predict heads";
  stamped(name, stream, [&] { ForwardingBackend::predict(args, stream); });
}
void StampingBackend::sparse_mlp(const SparseMlpArgs& args, StreamId stream) {
  stamped("gathered MLP", stream, [&] { ForwardingBackend::sparse_mlp(args, stream); });
}
void StampingBackend::sparse_mlp_add(const SparseMlpAddArgs& args, StreamId stream) {
  stamped("add", stream, [&] { ForwardingBackend::sparse_mlp_add(args, stream); });
}

}  // namespace dejavu
