#include "sparsity/crossover.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <random>

#include "engine/model/dense_mlp.h"

namespace dejavu {
namespace {

// Passes a figure is the median of, each over another layer.
constexpr int kPasses = 5;
constexpr double kFewUnits = 0.1;
constexpr double kManyUnits = 0.6;

struct Point {
  double share = 0;  // of neurons that are read
  double seconds = 0;
};

// The share at which a straight line through both points takes as long as reading everything.
double crossing(const Point& few, const Point& many, double whole) {
  if (few.seconds >= whole) return 0;
  const double slope = (many.seconds - few.seconds) / std::max(many.share - few.share, 0.01);
  if (slope <= 0) return 1;
  return std::clamp(few.share + (whole - few.seconds) / slope, 0.0, 1.0);
}

class Bench {
 public:
  Bench(const CrossoverArgs& args, int tokens)
      : args_(args), backend_(args.layers.front().backend), tokens_(tokens) {
    const LayerContext& any = args.layers.front();
    ffn_ = any.config.ffn_size;
    normed_ = first_rows(any.workspace.normed, tokens);
    hidden_ = first_rows(any.workspace.hidden, tokens);
    residual_ = first_rows(any.workspace.residual, tokens);
    fill_input();
  }

  double whole() {
    return timed([this](const LayerContext& layer) {
      backend_.mlp_up(mlp_up_args(layer, normed_, hidden_), StreamId::kMain);
      backend_.project(mlp_down_args(layer, hidden_, residual_), StreamId::kMain);
    });
  }

  Point gather(double share) {
    const std::vector<std::int32_t> ids = draw(share);
    std::vector<std::uint32_t> words(static_cast<std::size_t>(args_.memory.neurons.stride));
    for (const std::int32_t id : ids) words[static_cast<std::size_t>(id / 32)] |= 1U << (id % 32);
    for (int t = 0; t < tokens_; ++t)
      send(
          args_.memory.neurons.words + static_cast<std::ptrdiff_t>(t) * args_.memory.neurons.stride,
          words);
    send(args_.memory.union_ids, ids);
    const std::vector<std::int32_t> count{static_cast<std::int32_t>(ids.size())};
    send(args_.memory.counts, count);
    const double seconds = timed([this](const LayerContext& layer) {
      SparseMlpArgs args;
      args.up = mlp_up_args(layer, normed_, hidden_);
      args.up.mask = args_.memory.neurons;
      args.down = layer.weights.mlp.down;
      args.union_ids = args_.memory.union_ids;
      args.union_count = args_.memory.counts;
      args.scratch = args_.memory.scratch;
      backend_.sparse_mlp(args, StreamId::kMain);
      backend_.sparse_mlp_add({args_.memory.scratch, ffn_, layer.weights.mlp.down_bias, residual_},
                              StreamId::kMain);
    });
    return {static_cast<double>(ids.size()) / ffn_, seconds};
  }

  // Thresholds that nothing exceeds make zeros of all but a share of the neurons.
  Point skip_zeros(double share, float* cutoffs) {
    std::vector<float> limits(static_cast<std::size_t>(ffn_), std::numeric_limits<float>::max());
    for (const std::int32_t id : draw(share)) limits[static_cast<std::size_t>(id)] = 0;
    send(cutoffs, limits);
    const std::vector<std::int32_t> levels(static_cast<std::size_t>(tokens_));
    auto* counts = args_.memory.counts;
    send(counts, levels);
    const double seconds = timed([&](const LayerContext& layer) {
      MlpUpArgs up = mlp_up_args(layer, normed_, hidden_);
      up.cutoffs = cutoffs;
      up.cutoff_level = counts;
      up.skip_zero_gates = up.gate.data != nullptr;
      backend_.mlp_up(up, StreamId::kMain);
      ProjectArgs down = mlp_down_args(layer, hidden_, residual_);
      down.skip_zero_rows = true;
      backend_.project(down, StreamId::kMain);
    });
    backend_.count_nonzero({hidden_, counts, counts + tokens_}, StreamId::kMain);
    std::int32_t in_use = 0;
    backend_.download(&in_use, counts + tokens_, sizeof in_use, StreamId::kMain);
    static_cast<void>(backend_.synchronize(StreamId::kMain));
    return {static_cast<double>(in_use) / ffn_, seconds};
  }

 private:
  template <class T>
  void send(void* to, const std::vector<T>& values) {
    backend_.upload(to, values.data(), values.size() * sizeof(T), StreamId::kMain);
    static_cast<void>(backend_.synchronize(StreamId::kMain));
  }

  void fill_input() {
    const auto count = static_cast<std::size_t>(normed_.rows * normed_.cols);
    std::vector<std::byte> bytes(count * dtype_size(normed_.dtype));
    std::normal_distribution<float> normal;
    for (std::size_t i = 0; i < count; ++i)
      store_element(bytes.data(), normed_.dtype, i, normal(random_));
    send(normed_.data, bytes);
  }

  std::vector<std::int32_t> draw(double share) {
    std::vector<std::int32_t> ids;
    std::bernoulli_distribution in(share);
    for (int u = 0; u < ffn_; ++u)
      if (in(random_)) ids.push_back(u);
    return ids;
  }

  // Seconds of one pass; each takes the next layer, so that weights come from memory.
  template <class Body>
  double timed(const Body& body) {
    std::vector<double> seconds;
    for (int pass = 0; pass < kPasses; ++pass) {
      const LayerContext& layer = args_.layers[next_layer_++ % args_.layers.size()];
      const auto start = std::chrono::steady_clock::now();
      body(layer);
      static_cast<void>(backend_.synchronize(StreamId::kMain));
      const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
      seconds.push_back(taken.count());
    }
    std::ranges::nth_element(seconds, seconds.begin() + kPasses / 2);
    return seconds[kPasses / 2];
  }

  const CrossoverArgs& args_;
  Backend& backend_;
  int tokens_;
  int ffn_ = 0;
  Matrix normed_;
  Matrix hidden_;
  Matrix residual_;
  std::mt19937 random_{1};
  std::size_t next_layer_ = 0;
};

}  // namespace

Crossover measure_crossover(const CrossoverArgs& args) {
  Crossover crossover;
  if (!args.gather && !args.skip_zeros) return crossover;
  const LayerContext& any = args.layers.front();
  const auto cutoffs =
      any.backend.allocate(static_cast<std::size_t>(any.config.ffn_size) * sizeof(float));
  if (!cutoffs) return crossover;
  for (std::size_t b = 0; b < kUnionBatches.size(); ++b) {
    if (kUnionBatches[b] > args.memory.max_tokens) break;
    Bench bench(args, kUnionBatches[b]);
    const double whole = bench.whole();
    if (args.gather && kUnionBatches[b] <= kMaxGatherTokens)
      crossover.gather[b] = crossing(bench.gather(kFewUnits), bench.gather(kManyUnits), whole);
    if (args.skip_zeros) {
      auto* limits = cutoffs->as<float>();
      crossover.skip_zeros[b] = crossing(bench.skip_zeros(kFewUnits, limits),
                                         bench.skip_zeros(kManyUnits, limits), whole);
    }
  }
  return crossover;
}

}  // namespace dejavu
