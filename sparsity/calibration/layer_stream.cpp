#include "sparsity/calibration/layer_stream.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace dejavu {
namespace {

constexpr float kRmsEpsilon = 1e-6F;  // of PredictorView

int longest(std::span<const TokenWindow> windows) {
  std::size_t most = 1;
  for (const TokenWindow& window : windows) most = std::max(most, window.size());
  return static_cast<int>(most);
}

Streams empty_streams(const Transformer& model, std::span<const TokenWindow> windows) {
  Streams streams;
  streams.width = model.config().hidden_size;
  streams.values.resize(static_cast<std::size_t>(token_count(windows) * streams.width));
  return streams;
}

void keep(const HostMatrix& rows, std::int64_t first, Streams& streams) {
  std::transform(rows.values.begin(), rows.values.end(),
                 streams.values.begin() + first * streams.width, float_to_bf16);
}

// Keeps the streams that enter the MLP block, and shows the sink what is computed.
class StreamProbe final : public LayerProbe {
 public:
  StreamProbe(LayerSink* sink, Streams& middle) : sink_(sink), middle_(middle) {}
  void next_window(std::int64_t first) { first_ = first; }

  void heads_computed(const LayerContext& layer, int tokens) override {
    if (sink_ != nullptr) sink_->heads_computed(layer, tokens);
  }
  void mlp_input(const LayerContext& layer, int tokens) override {
    keep(download(first_rows(layer.workspace.residual, tokens), layer.backend), first_, middle_);
    if (sink_ != nullptr) sink_->mlp_input(layer, tokens);
  }
  void neurons_computed(const LayerContext& layer, int tokens) override {
    if (sink_ != nullptr) sink_->neurons_computed(layer, tokens);
  }

 private:
  LayerSink* sink_;
  Streams& middle_;
  std::int64_t first_ = 0;
};

}  // namespace

std::vector<std::uint16_t> Streams::normalized() const {
  std::vector<std::uint16_t> out(values.size());
  for (std::size_t at = 0; at < values.size(); at += static_cast<std::size_t>(width)) {
    const auto end = at + static_cast<std::size_t>(width);
    float squares = 0;
    for (std::size_t i = at; i < end; ++i) {
      const float x = bf16_to_float(values[i]);
      squares += x * x;
    }
    const float scale = 1 / std::sqrt(squares / static_cast<float>(width) + kRmsEpsilon);
    for (std::size_t i = at; i < end; ++i) out[i] = float_to_bf16(bf16_to_float(values[i]) * scale);
  }
  return out;
}

Result<std::unique_ptr<LayerStream>> LayerStream::create(const Args& args) {
  std::unique_ptr<LayerStream> stream(new LayerStream(args));
  auto runner = WindowRunner::create(args.model, args.backend, longest(args.windows));
  if (!runner) return tl::unexpected(runner.error());
  stream->runner_ = std::move(*runner);
  stream->entering_ = empty_streams(args.model, args.windows);
  std::int64_t first = 0;
  for (const TokenWindow& window : args.windows) {
    const StepBatch batch = stream->runner_->make_batch(window, {});
    args.model.embed(batch);
    keep(download(args.model.residual(batch.tokens), args.backend), first, stream->entering_);
    first += batch.tokens;
  }
  return stream;
}

Result<Streams> LayerStream::run_layer(LayerSink* sink,
                                       const std::function<void(int, int)>& progress) {
  Streams next = empty_streams(args_.model, args_.windows);
  Streams middle = next;
  StreamProbe probe(sink, middle);
  std::int64_t first = 0;
  int done = 0;
  for (const TokenWindow& window : args_.windows) {
    const StepBatch batch = runner_->make_batch(window, {});
    HostMatrix rows(window.size(), static_cast<std::size_t>(entering_.width));
    std::transform(entering_.values.begin() + first * entering_.width,
                   entering_.values.begin() + (first + batch.tokens) * entering_.width,
                   rows.values.begin(), bf16_to_float);
    const Matrix residual = args_.model.residual(batch.tokens);
    upload(rows, residual, args_.backend);
    probe.next_window(first);
    args_.layers.set(&probe);
    args_.model.run_layer(layer_, batch, runner_->cache().layer(layer_));
    args_.layers.set(nullptr);
    if (Status ran = args_.backend.synchronize(StreamId::kMain); !ran)
      return tl::unexpected(ran.error());
    keep(download(residual, args_.backend), first, next);
    first += batch.tokens;
    if (progress) progress(++done, static_cast<int>(args_.windows.size()));
  }
  ++layer_;
  before_ = std::move(middle);
  return std::exchange(entering_, std::move(next));
}

}  // namespace dejavu
