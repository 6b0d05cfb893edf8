#include "bench/gpu_kernels.h"

#include <algorithm>
#include <chrono>
#include <functional>

#include "bench/median.h"
#include "bench/random_sets.h"

namespace dejavu {
namespace {

constexpr int kBatch = 16;
constexpr int kMostTokens = 32;
constexpr int kRank = 256;      // of the neurons' predictor
constexpr int kContext = 1024;  // of attention
constexpr std::size_t kProbeBytes = std::size_t{2} << 30;

class Bench {
 public:
  Bench(Backend& backend, const KernelBenchOptions& options)
      : backend_(backend), options_(options), random_(options.seed) {}

  Status prepare() {
    const auto d = static_cast<std::size_t>(options_.width);
    const auto ffn = static_cast<std::size_t>(options_.ffn);
    std::vector<std::uint16_t> values(std::size_t{32} << 20);
    std::normal_distribution<float> normal(0, 0.02F);
    for (std::size_t i = 0; i < (std::size_t{1} << 20); ++i)
      store_element(values.data(), options_.dtype, i, normal(random_));
    for (std::size_t i = std::size_t{1} << 20; i < values.size(); ++i)
      values[i] = values[i - (std::size_t{1} << 20)];
    for (int l = 0; l < options_.layers; ++l) {
      Layer& layer = layers_.emplace_back();
      fill(layer.qkv, 3 * d * d, values);
      fill(layer.out, d * d, values);
      if (options_.gated) fill(layer.gate, ffn * d, values);
      fill(layer.up, ffn * d, values);
      fill(layer.down, ffn * d, values);
      for (Buffer* cache : {&layer.keys, &layer.values})
        fill(*cache, std::size_t{kMostTokens} * kContext * d, values);
      fill(layer.low, kRank * d / 2, values);
      fill(layer.scores, kRank * ffn / 2, values);
      fill(layer.router, static_cast<std::size_t>(options_.heads) * d / 2, values);
      if (!status_) return status_;
      auto sets = RandomSets::create(backend_, options_.ffn, kMostTokens);
      if (!sets) return tl::unexpected(sets.error());
      layer.sets = std::move(*sets);
      auto heads = RandomSets::create(backend_, options_.heads, kMostTokens);
      if (!heads) return tl::unexpected(heads.error());
      layer.heads = std::move(*heads);
    }
    fill(x_, kMostTokens * std::max(d, ffn), values);
    take(y_, kMostTokens * std::max(3 * d, ffn) * 4);
    take(hidden_, kMostTokens * ffn * 2);
    take(scratch_, backend_.sparse_mlp_scratch(kMostTokens, options_.width, options_.ffn));
    take(residual_, kMostTokens * d * 4);
    take(q_, kMostTokens * d * 4);
    take(predicted_words_, kMostTokens * (ffn / 32 + 1) * 4);
    take(predicted_ids_, (kMostTokens + ffn + 1) * 4);
    take(floats_, 2 * ffn * 4);
    take(levels_, kMostTokens * 4);
    if (status_) place_sequences();
    return status_;
  }

  std::vector<KernelRow> run() {
    const double d = options_.width;
    const double ffn = options_.ffn;
    const double parts = options_.gated ? 3 : 2;
    for (const int tokens : {1, kBatch}) {
      row("linear qkv", tokens, 3 * d * d, [&](Layer& layer) { linear(layer, tokens, false); });
      row("project out", tokens, d * d, [&](Layer& layer) { project_out(layer, tokens, false); });
      row("mlp_up", tokens, (parts - 1) * d * ffn, [&](Layer& layer) { mlp_up(layer, tokens); });
      row("project down", tokens, d * ffn, [&](Layer& layer) { project_down(layer, tokens); });
    }
    for (const double density : {0.05, 0.1, 0.2, 0.3}) sparse(1, density, density);
    for (const double united : {0.1, 0.2, 0.3, 0.5}) sparse(kBatch, united / 4, united);
    sparse(kMostTokens, 0.52 / 4, 0.52);
    for (const double density : {0.3, 0.5}) heads(density);
    for (const int tokens : {1, kMostTokens}) {
      attention(tokens, 1);
      attention(tokens, 0.5);
    }
    for (const int tokens : {1, kBatch, kMostTokens}) {
      row("predict neurons", tokens, kRank * (d + ffn) / 2,
          [&](Layer& layer) { predict(neurons_of(layer), tokens); });
      row("predict heads", tokens, options_.heads * d / 2,
          [&](Layer& layer) { predict(router_of(layer), tokens); });
    }
    row("norm", 1, 2 * d, [&](Layer&) { norm(); });
    return std::move(rows_);
  }

 private:
  struct Layer {
    Buffer qkv, out, gate, up, down;
    Buffer keys, values;
    Buffer low, scores, router;  // of predictors
    RandomSets sets, heads;
  };

  void take(Buffer& to, std::size_t bytes) {
    auto block = backend_.allocate(bytes);
    if (!block) {
      status_ = tl::unexpected(block.error());
      return;
    }
    to = std::move(*block);
  }
  void fill(Buffer& to, std::size_t count, const std::vector<std::uint16_t>& values) {
    take(to, count * 2);
    if (!status_) return;
    for (std::size_t at = 0; at < count; at += values.size())
      backend_.upload(to.as<std::uint16_t>() + at, values.data(),
                      std::min(values.size(), count - at) * 2, StreamId::kMain);
  }

  ConstMatrix weights(const Buffer& buffer, std::int64_t rows, std::int64_t cols) const {
    return {buffer.data(), options_.dtype, rows, cols, cols};
  }
  ConstMatrix input(std::int64_t tokens, std::int64_t cols) const {
    return {x_.data(), options_.dtype, tokens, cols, cols};
  }
  Matrix output(std::int64_t tokens, std::int64_t cols) const {
    return {y_.data(), DType::kF32, tokens, cols, cols};
  }
  ConstMatrix neurons(const Buffer& buffer) const {
    return weights(buffer, options_.ffn, options_.width);
  }

  void linear(const Layer& layer, int tokens, bool masked) {
    const std::int64_t d = options_.width;
    LinearArgs args{input(tokens, d), weights(layer.qkv, 3 * d, d), nullptr, output(tokens, 3 * d)};
    if (masked) args.row_mask = layer.heads.mask();
    args.group_rows = options_.width / options_.heads;
    backend_.linear(args, StreamId::kMain);
  }
  void project_out(const Layer& layer, int tokens, bool masked) {
    const std::int64_t d = options_.width;
    ProjectArgs args{input(tokens, d),
                     weights(layer.out, d, d),
                     nullptr,
                     {residual_.data(), DType::kF32, tokens, d, d},
                     true};
    if (masked) args.row_mask = layer.heads.mask();
    args.group_rows = options_.width / options_.heads;
    backend_.project(args, StreamId::kMain);
  }
  MlpUpArgs up_args(const Layer& layer, int tokens) const {
    MlpUpArgs args;
    args.x = input(tokens, options_.width);
    if (options_.gated) args.gate = neurons(layer.gate);
    args.up = neurons(layer.up);
    args.h = {hidden_.data(), options_.dtype, tokens, options_.ffn, options_.ffn};
    // No activation is zero, which a kernel could leave out.
    args.activation = Activation::kSilu;
    return args;
  }
  void mlp_up(const Layer& layer, int tokens) {
    backend_.mlp_up(up_args(layer, tokens), StreamId::kMain);
  }
  void project_down(const Layer& layer, int tokens) {
    backend_.project({input(tokens, options_.ffn),
                      neurons(layer.down),
                      nullptr,
                      {residual_.data(), DType::kF32, tokens, options_.width, options_.width},
                      true},
                     StreamId::kMain);
  }
  void norm() {
    const std::int64_t d = options_.width;
    NormArgs args;
    args.x = {residual_.data(), DType::kF32, 1, d, d};
    args.out = {y_.data(), options_.dtype, 1, d, d};
    backend_.norm(args, StreamId::kMain);
  }

  void sparse(int tokens, double each, double united) {
    const auto units = [&](double share) { return static_cast<int>(share * options_.ffn + 0.5); };
    const RandomSets::Draw draw{tokens, units(each), tokens == 1 ? 0 : units(united)};
    for (Layer& layer : layers_) layer.sets.draw(backend_, draw, sets_random_);
    const double bytes = (options_.gated ? 3.0 : 2.0) * options_.width * units(united);
    row("sparse_mlp " + std::to_string(united).substr(0, 4), tokens, bytes, [&](Layer& layer) {
      SparseMlpArgs args;
      args.up = up_args(layer, tokens);
      args.up.mask = layer.sets.mask();
      args.down = neurons(layer.down);
      args.union_ids = layer.sets.union_ids();
      args.union_count = layer.sets.union_count();
      args.scratch = scratch_.data();
      backend_.sparse_mlp(args, StreamId::kMain);
      const Matrix y{residual_.data(), DType::kF32, tokens, options_.width, options_.width};
      backend_.sparse_mlp_add({scratch_.data(), options_.ffn, nullptr, y}, StreamId::kMain);
    });
  }

  void heads(double density) {
    const int kept = std::max(1, static_cast<int>(density * options_.heads + 0.5));
    for (Layer& layer : layers_) layer.heads.draw(backend_, {1, kept, 0}, sets_random_);
    const double d = options_.width;
    const double rows = 2 * d + d * kept / options_.heads;
    const std::string share = ", heads " + std::to_string(density).substr(0, 4);
    row("linear qkv" + share, 1, rows * d, [&](Layer& layer) { linear(layer, 1, true); });
    row("project out" + share, 1, d * d * kept / options_.heads,
        [&](Layer& layer) { project_out(layer, 1, true); });
  }

  // Sequences of kContext positions, one after the other in each layer's pages.
  void place_sequences() {
    constexpr int kPages = kContext / kKvPageTokens;
    std::vector<std::int32_t> host;
    for (int s = 0; s <= kMostTokens; ++s) host.push_back(s);  // a token each
    host.insert(host.end(), kMostTokens, kContext);
    for (int page = 0; page < kMostTokens * kPages; ++page) host.push_back(page);
    take(places_, host.size() * 4);
    if (!status_) return;
    backend_.upload(places_.data(), host.data(), host.size() * 4, StreamId::kMain);
    const std::vector<float> scales(static_cast<std::size_t>(options_.ffn), 1e-3F);
    backend_.upload(floats_.data(), scales.data(), scales.size() * 4, StreamId::kMain);
  }
  void attention(int tokens, double density) {
    const int kept = std::max(1, static_cast<int>(density * options_.heads + 0.5));
    for (Layer& layer : layers_) layer.heads.draw(backend_, {tokens, kept, 0}, sets_random_);
    const std::int64_t d = options_.width;
    AttentionArgs args;
    args.q = {q_.data(), DType::kF32, tokens, d, d};
    args.sequences = tokens;
    args.query_start = places_.as<std::int32_t>();
    args.context_length = args.query_start + kMostTokens + 1;
    args.page_table = args.context_length + kMostTokens;
    args.page_table_stride = kContext / kKvPageTokens;
    args.scale = 0.1F;
    args.out = {hidden_.data(), options_.dtype, tokens, d, d};
    const double elements =
        2.0 * tokens * kContext * static_cast<double>(d) * kept / options_.heads;
    row("attention, heads " + std::to_string(density).substr(0, 4), tokens, elements,
        [&](Layer& layer) {
          args.mask = layer.heads.mask();
          args.cache = {layer.keys.data(), layer.values.data(),
                        options_.dtype,    kMostTokens * args.page_table_stride,
                        options_.heads,    options_.width / options_.heads};
          backend_.attention(args, StreamId::kMain);
        });
  }

  // Every scale is small, and every bias and threshold zero, so half of the units are in.
  PredictorView router_of(const Layer& layer) const {
    PredictorView view;
    view.up = layer.router.as<std::int8_t>();
    view.up_scale = floats_.as<float>();
    view.bias = view.thresholds = view.up_scale + options_.ffn;
    view.input = view.rank = options_.width;
    view.units = options_.heads;
    return view;
  }
  PredictorView neurons_of(const Layer& layer) const {
    PredictorView view = router_of(layer);
    view.down = layer.low.as<std::int8_t>();
    view.down_scale = view.up_scale;
    view.up = layer.scores.as<std::int8_t>();
    view.rank = kRank;
    view.units = options_.ffn;
    return view;
  }
  void predict(const PredictorView& predictor, int tokens) {
    const std::int64_t d = options_.width;
    PredictArgs args;
    args.x = {residual_.data(), DType::kF32, tokens, d, d};
    args.level = levels_.as<std::int32_t>();  // zeros
    args.predictor = predictor;
    args.mask = {predicted_words_.as<std::uint32_t>(), predictor.units,
                 mask_words(predictor.units)};
    args.counts = predicted_ids_.as<std::int32_t>();
    args.union_count = args.counts + kMostTokens;
    args.union_ids = args.union_count + 1;
    backend_.predict(args, StreamId::kMain);
  }

  void row(const std::string& name, int tokens, double elements,
           const std::function<void(Layer&)>& op) {
    const auto all = [&] {
      for (Layer& layer : layers_) op(layer);
    };
    std::vector<double> times;
    const ReplayKey key{++key_};
    for (int round = 0; round < options_.rounds + 3; ++round) {
      const auto start = std::chrono::steady_clock::now();
      constexpr int kPasses = 6;
      for (int pass = 0; pass < kPasses; ++pass) backend_.replay(key, all);
      static_cast<void>(backend_.synchronize(StreamId::kMain));
      const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
      // The first rounds load, record and warm up.
      if (round >= 3) times.push_back(taken.count() / kPasses / options_.layers);
    }
    KernelRow result;
    result.name = name;
    result.shape = "d " + std::to_string(options_.width) + " ffn " + std::to_string(options_.ffn) +
                   " tokens " + std::to_string(tokens);
    result.us = 1e6 * median(times);
    result.bytes = 2 * elements;
    result.gbps = result.bytes / result.us / 1e3;
    result.fraction_of_peak = result.gbps / backend_.measure_read_bandwidth(kProbeBytes);
    rows_.push_back(result);
  }

  Backend& backend_;
  KernelBenchOptions options_;
  std::mt19937 random_;
  std::mt19937_64 sets_random_{7};
  std::vector<Layer> layers_;
  Buffer x_, y_, hidden_, scratch_, residual_, q_;
  Buffer predicted_words_, predicted_ids_, floats_, levels_, places_;
  std::int64_t key_ = 0;
  Status status_;
  std::vector<KernelRow> rows_;
};

}  // namespace

Result<std::vector<KernelRow>> run_gpu_kernels(Backend& backend,
                                               const KernelBenchOptions& options) {
  Bench bench(backend, options);
  if (Status ready = bench.prepare(); !ready) return tl::unexpected(ready.error());
  std::vector<KernelRow> rows = bench.run();
  if (Status done = backend.synchronize(StreamId::kMain); !done)
    return tl::unexpected(done.error());
  return rows;
}

}  // namespace dejavu
