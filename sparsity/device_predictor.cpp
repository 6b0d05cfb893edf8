#include "sparsity/device_predictor.h"

namespace dejavu {
namespace {

// Arrays start on cache lines.
std::size_t aligned(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

template <class T>
std::size_t bytes_of(const std::vector<T>& values) {
  return values.size() * sizeof(T);
}

}  // namespace

Result<DevicePredictor> DevicePredictor::upload(const PredictorWeights& weights, Backend& backend) {
  DevicePredictor predictor;
  predictor.thresholds_ = weights.thresholds;
  std::size_t bytes = 0;
  const auto reserve = [&bytes](const auto& values) {
    const std::size_t offset = bytes;
    bytes += aligned(bytes_of(values));
    return offset;
  };
  const std::size_t down = reserve(weights.down);
  const std::size_t down_scale = reserve(weights.down_scale);
  const std::size_t up = reserve(weights.up);
  const std::size_t up_scale = reserve(weights.up_scale);
  const std::size_t bias = reserve(weights.bias);
  const std::size_t thresholds = reserve(weights.thresholds);
  auto storage = backend.allocate(bytes);
  if (!storage) return tl::unexpected(storage.error());
  predictor.storage_ = std::move(*storage);
  const auto place = [&](std::size_t offset, const auto& values) {
    using T = typename std::decay_t<decltype(values)>::value_type;
    auto* to = predictor.storage_.as<std::byte>() + offset;
    backend.upload(to, values.data(), bytes_of(values), StreamId::kMain);
    return static_cast<T*>(static_cast<void*>(to));
  };
  PredictorView& view = predictor.view_;
  if (!weights.down.empty()) {
    view.down = place(down, weights.down);
    view.down_scale = place(down_scale, weights.down_scale);
  }
  view.up = place(up, weights.up);
  view.up_scale = place(up_scale, weights.up_scale);
  view.bias = place(bias, weights.bias);
  view.thresholds = predictor.device_thresholds_ = place(thresholds, predictor.thresholds_);
  view.input = weights.input;
  view.rank = weights.rank;
  view.units = weights.units;
  if (Status done = backend.synchronize(StreamId::kMain); !done)
    return tl::unexpected(done.error());
  return predictor;
}

void DevicePredictor::lower_thresholds(float by, Backend& backend) {
  for (float& threshold : thresholds_) threshold -= by;
  backend.upload(device_thresholds_, thresholds_.data(), bytes_of(thresholds_), StreamId::kMain);
}

}  // namespace dejavu
