#include "bench/sparse_layers.h"

#include <algorithm>
#include <cmath>

#include "engine/model/dense_attention.h"
#include "engine/model/dense_mlp.h"
#include "sparsity/expected_union.h"

namespace dejavu {
namespace {

constexpr float kDecided = 16.0F;

int share(double density, int units) {
  return std::clamp(static_cast<int>(std::lround(density * units)), 1, units);
}

bool has_exact_zeros(Activation activation) {
  return activation == Activation::kRelu || activation == Activation::kRelu2 ||
         activation == Activation::kFatRelu;
}

// The z that a standard normal exceeds with probability `density`.
float quantile(double density) {
  double low = -10;
  double high = 10;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (0.5 * std::erfc(middle / std::sqrt(2.0)) > density ? low : high) = middle;
  }
  return static_cast<float>(low);
}

struct PredictorShape {
  int input = 0;
  int rank = 0;
  int units = 0;
  bool down = false;
  double density = 0;
};

class PredictorMaker {
 public:
  PredictorMaker(Backend& backend, SparseBenchLayer& layer, std::mt19937_64& random)
      : backend_(backend), layer_(layer), random_(random) {}

  // Random weights whose scores are about standard normal.
  Result<PredictorView> make(const PredictorShape& shape) {
    PredictorView view;
    view.input = shape.input;
    view.rank = shape.rank;
    view.units = shape.units;
    if (shape.down) {
      view.down = bytes(shape.rank, shape.input);
      view.down_scale = floats(shape.rank, scale(shape.input));
    }
    view.up = bytes(shape.units, shape.rank);
    view.up_scale = floats(shape.units, scale(shape.rank));
    view.bias = floats(shape.units, 0);
    view.thresholds = floats(shape.units, quantile(shape.density));
    if (!made_) return tl::unexpected(made_.error());
    return view;
  }

 private:
  static float scale(int inputs) { return 1.0F / (73.3F * std::sqrt(static_cast<float>(inputs))); }

  const void* copy(const void* data, std::size_t size) {
    auto buffer = backend_.allocate(size);
    if (!buffer) {
      made_ = tl::unexpected(buffer.error());
      return nullptr;
    }
    backend_.upload(buffer->data(), data, size, StreamId::kMain);
    layer_.storage.push_back(std::move(*buffer));
    return layer_.storage.back().data();
  }
  const std::int8_t* bytes(int rows, int cols) {
    std::uniform_int_distribution<int> any(-127, 127);
    std::vector<std::int8_t> values(static_cast<std::size_t>(rows) *
                                    static_cast<std::size_t>(cols));
    for (auto& value : values) value = static_cast<std::int8_t>(any(random_));
    return static_cast<const std::int8_t*>(copy(values.data(), values.size()));
  }
  const float* floats(int count, float value) {
    const std::vector<float> values(static_cast<std::size_t>(count), value);
    return static_cast<const float*>(copy(values.data(), values.size() * sizeof(float)));
  }

  Backend& backend_;
  SparseBenchLayer& layer_;
  std::mt19937_64& random_;
  Status made_;
};

// Scores and compacts, as serving would; the result is not used.
void run_predictor(Backend& backend, const SparseBench& bench, const PredictorView& predictor,
                   const ConstMatrix& residual) {
  if (bench.mode == BenchMode::kKnown) return;
  PredictArgs args;
  args.x = residual;
  args.level = bench.levels.as<std::int32_t>();
  args.predictor = predictor;
  args.mask = {bench.predicted_words.as<std::uint32_t>(), predictor.units,
               mask_words(predictor.units)};
  args.counts = bench.predicted_ids.as<std::int32_t>();
  args.union_count = args.counts + bench.max_tokens;
  args.union_ids = args.union_count + 1;
  backend.predict(args, bench.mode == BenchMode::kInline ? StreamId::kMain : StreamId::kSide);
}

class BenchAttention final : public Attention {
 public:
  BenchAttention(const LayerContext& context, const SparseBenchLayer& layer)
      : context_(context), layer_(layer) {}

  void look_ahead(const StepBatch& /*batch*/, const ConstMatrix& residual) override {
    if (sparse()) run_predictor(context_.backend, *layer_.bench, layer_.heads, residual);
  }
  void attend(const StepBatch& batch, const ConstMatrix& normed, const KvView& cache) override {
    const Matrix qkv = first_rows(context_.workspace.qkv, batch.tokens);
    LinearArgs linear = qkv_args(context_, normed, qkv);
    AttentionArgs attention = attention_args(context_, batch, qkv, cache);
    if (sparse()) {
      attention.mask = layer_.head_sets.mask();
      if (batch.tokens == 1) linear.row_mask = attention.mask;
      linear.group_rows = group_rows();
    }
    context_.backend.linear(linear, StreamId::kMain);
    context_.backend.store_kv(store_kv_args(context_, batch, qkv, cache), StreamId::kMain);
    context_.backend.attention(attention, StreamId::kMain);
  }
  void project(const StepBatch& batch, const Matrix& residual) override {
    const Matrix heads = first_rows(context_.workspace.context, batch.tokens);
    ProjectArgs args = attention_out_args(context_, heads, residual);
    if (sparse() && batch.tokens == 1) {
      args.skip_zero_rows = true;
      args.row_mask = layer_.head_sets.mask();
      args.group_rows = group_rows();
    }
    context_.backend.project(args, StreamId::kMain);
  }

 private:
  bool sparse() const { return looks_ahead(layer_.bench->mode) && context_.index > 0; }
  int group_rows() const {
    const ModelConfig& config = context_.config;
    return config.heads / config.kv_heads * config.head_dim;
  }

  LayerContext context_;
  const SparseBenchLayer& layer_;
};

class BenchMlp final : public Mlp {
 public:
  BenchMlp(const LayerContext& context, const SparseBenchLayer& layer)
      : context_(context), layer_(layer) {}

  void look_ahead(const StepBatch& /*batch*/, const ConstMatrix& residual) override {
    if (looks_ahead(mode())) run_predictor(context_.backend, *layer_.bench, layer_.mlp, residual);
  }
  void up(const StepBatch& batch, const ConstMatrix& normed) override {
    MlpUpArgs args =
        mlp_up_args(context_, normed, first_rows(context_.workspace.hidden, batch.tokens));
    if (mode() == BenchMode::kDense) return context_.backend.mlp_up(args, StreamId::kMain);
    const bool gated = args.gate.data != nullptr;
    if (has_exact_zeros(args.activation))
      (gated ? args.gate_bias : args.up_bias) = layer_.bias.as<float>();
    if (gather()) {
      args.mask = layer_.mlp_sets.mask();
      SparseMlpArgs sparse;
      sparse.up = args;
      sparse.down = context_.weights.mlp.down;
      sparse.union_ids = layer_.mlp_sets.union_ids();
      sparse.union_count = layer_.mlp_sets.union_count();
      sparse.scratch = layer_.bench->scratch.data();
      return context_.backend.sparse_mlp(sparse, StreamId::kMain);
    }
    // Alone, a token's zeros are its biases' doing.
    if (batch.tokens > 1 || looks_ahead(mode())) args.mask = layer_.mlp_sets.mask();
    args.skip_zero_gates = gated && mode() == BenchMode::kExact;
    context_.backend.mlp_up(args, StreamId::kMain);
  }
  void down(const StepBatch& batch, const Matrix& residual) override {
    const Matrix hidden = first_rows(context_.workspace.hidden, batch.tokens);
    ProjectArgs args = mlp_down_args(context_, hidden, residual);
    if (gather()) {
      SparseMlpAddArgs add;
      add.scratch = layer_.bench->scratch.data();
      add.ffn = context_.config.ffn_size;
      add.bias = args.bias;
      add.y = residual;
      return context_.backend.sparse_mlp_add(add, StreamId::kMain);
    }
    args.skip_zero_rows = mode() == BenchMode::kExact;
    context_.backend.project(args, StreamId::kMain);
  }

 private:
  BenchMode mode() const { return layer_.bench->mode; }
  bool gather() const { return layer_.gathers(); }

  LayerContext context_;
  const SparseBenchLayer& layer_;
};

}  // namespace

Result<BenchMode> bench_mode(const std::string& name) {
  if (name == "dense") return BenchMode::kDense;
  if (name == "exact") return BenchMode::kExact;
  if (name == "lookahead") return BenchMode::kLookahead;
  if (name == "inline") return BenchMode::kInline;
  if (name == "known") return BenchMode::kKnown;
  return invalid("--modes: '" + name + "' is not one of dense, exact, lookahead, inline, known",
                 "modes");
}

bool SparseBenchLayer::gathers() const {
  if (!looks_ahead(bench->mode) || bench->tokens > kMaxGatherTokens) return false;
  return mlp_sets.union_density() < bench->crossover.gather[union_bucket(bench->tokens)];
}

struct SparseBenchLayers::State {
  SparseBench bench;
  std::vector<LayerContext> contexts;
  std::vector<std::unique_ptr<SparseBenchLayer>> layers;
};

SparseBenchLayers::SparseBenchLayers(const StepBenchOptions& options, int max_tokens)
    : state_(std::make_shared<State>()) {
  state_->bench.options = options;
  state_->bench.max_tokens = max_tokens;
  state_->bench.random.seed(options.seed);
}

// The transformer asks for a layer's attention first and its MLP next.
Result<SparseBenchLayer*> SparseBenchLayers::layer(const LayerContext& context) const {
  const auto index = static_cast<std::size_t>(context.index);
  if (index < state_->layers.size()) return state_->layers[index].get();
  SparseBench& bench = state_->bench;
  const ModelConfig& config = context.config;
  const StepBenchOptions& options = bench.options;
  auto layer = std::make_unique<SparseBenchLayer>();
  layer->bench = &bench;
  Backend& backend = context.backend;
  const int most = std::max(config.ffn_size, config.kv_heads);
  const auto allocate = [&](Buffer& to, std::size_t bytes) -> Status {
    auto buffer = backend.allocate(bytes);
    if (!buffer) return tl::unexpected(buffer.error());
    to = std::move(*buffer);
    return {};
  };
  const auto tokens = static_cast<std::size_t>(bench.max_tokens);
  if (index == 0) {
    const std::size_t words = tokens * static_cast<std::size_t>(mask_words(most));
    const std::size_t ids = tokens + static_cast<std::size_t>(most) + 1;
    for (const Status& made :
         {allocate(bench.predicted_words, words * sizeof(std::uint32_t)),
          allocate(bench.predicted_ids, ids * sizeof(std::int32_t)),
          allocate(bench.levels, tokens * sizeof(std::int32_t)),
          allocate(bench.scratch, backend.sparse_mlp_scratch(bench.max_tokens, config.hidden_size,
                                                             config.ffn_size))}) {
      if (!made) return tl::unexpected(made.error());
    }
  }
  const auto ffn = static_cast<std::size_t>(config.ffn_size);
  if (auto made = allocate(layer->bias, ffn * sizeof(float)); !made)
    return tl::unexpected(made.error());
  layer->host_bias.resize(ffn);

  PredictorMaker maker(backend, *layer, bench.random);
  const int d = config.hidden_size;
  auto mlp = maker.make({d, options.predictor_rank, config.ffn_size, true, options.mlp_density});
  if (!mlp) return tl::unexpected(mlp.error());
  auto heads = maker.make({d, d, config.kv_heads, false, options.head_density});
  if (!heads) return tl::unexpected(heads.error());
  layer->mlp = *mlp;
  layer->heads = *heads;
  auto mlp_sets = RandomSets::create(backend, config.ffn_size, bench.max_tokens);
  if (!mlp_sets) return tl::unexpected(mlp_sets.error());
  auto head_sets = RandomSets::create(backend, config.kv_heads, bench.max_tokens);
  if (!head_sets) return tl::unexpected(head_sets.error());
  layer->mlp_sets = std::move(*mlp_sets);
  layer->head_sets = std::move(*head_sets);

  // What is left after layer 0, shared out so that the total is right to half a group.
  const int all = config.kv_heads;
  const double rest = std::max(0.0, options.head_density * config.layers * all - all);
  const auto kept_before = [&](int l) { return std::lround(rest * (l - 1) / (config.layers - 1)); };
  const long kept =
      context.index == 0 ? all : kept_before(context.index + 1) - kept_before(context.index);
  layer->groups_kept = std::clamp(static_cast<int>(kept), 1, all);
  state_->layers.push_back(std::move(layer));
  state_->contexts.push_back(context);
  return state_->layers.back().get();
}

Result<std::unique_ptr<Attention>> SparseBenchLayers::attention(const LayerContext& context) const {
  auto own = layer(context);
  if (!own) return tl::unexpected(own.error());
  return std::make_unique<BenchAttention>(context, **own);
}

Result<std::unique_ptr<Mlp>> SparseBenchLayers::mlp(const LayerContext& context) const {
  auto own = layer(context);
  if (!own) return tl::unexpected(own.error());
  return std::make_unique<BenchMlp>(context, **own);
}

const std::vector<LayerContext>& SparseBenchLayers::contexts() const { return state_->contexts; }

Status SparseBenchLayers::measure_crossover() {
  const auto memory = SparseMemory::create(state_->contexts.front());
  if (!memory) return tl::unexpected(memory.error());
  state_->bench.crossover = dejavu::measure_crossover({state_->contexts, *memory, true, false});
  return {};
}

void SparseBenchLayers::begin_step(BenchMode mode, int tokens, Backend& backend) {
  SparseBench& bench = state_->bench;
  bench.mode = mode;
  bench.tokens = tokens;
  if (mode == BenchMode::kDense) return;
  for (const auto& layer : state_->layers) {
    const int ffn = layer->mlp.units;
    const int each = share(bench.options.mlp_density, ffn);
    const int united = bench.options.union_density > 0
                           ? std::max(each, share(bench.options.union_density, ffn))
                           : 0;
    layer->mlp_sets.draw(backend, {tokens, each, united}, bench.random);
    layer->head_sets.draw(backend, {tokens, layer->groups_kept, 0}, bench.random);
    std::fill(layer->host_bias.begin(), layer->host_bias.end(), -kDecided);
    for (const std::int32_t id : layer->mlp_sets.united())
      layer->host_bias[static_cast<std::size_t>(id)] = kDecided;
    backend.upload(layer->bias.data(), layer->host_bias.data(),
                   layer->host_bias.size() * sizeof(float), StreamId::kMain);
  }
}

std::vector<std::int64_t> SparseBenchLayers::methods() const {
  std::vector<std::int64_t> methods{static_cast<std::int64_t>(state_->bench.mode)};
  if (!looks_ahead(state_->bench.mode)) return methods;
  for (const auto& layer : state_->layers) methods.push_back(layer->gathers() ? 1 : 0);
  return methods;
}

double SparseBenchLayers::mlp_density() const {
  const int ffn = state_->layers.front()->mlp.units;
  return static_cast<double>(share(state_->bench.options.mlp_density, ffn)) / ffn;
}

double SparseBenchLayers::union_density() const {
  double sum = 0;
  for (const auto& layer : state_->layers) sum += layer->mlp_sets.union_density();
  return sum / static_cast<double>(state_->layers.size());
}

double SparseBenchLayers::read_density() const {
  double sum = 0;
  for (const auto& layer : state_->layers)
    sum += layer->gathers() ? layer->mlp_sets.union_density() : 1;
  return sum / static_cast<double>(state_->layers.size());
}

double SparseBenchLayers::head_density() const {
  double sum = 0;
  for (const auto& layer : state_->layers)
    sum += static_cast<double>(layer->groups_kept) / layer->heads.units;
  return sum / static_cast<double>(state_->layers.size());
}

std::size_t SparseBenchLayers::predictor_bytes() const {
  std::size_t bytes = 0;
  for (const auto& layer : state_->layers)
    for (const Buffer& buffer : layer->storage) bytes += buffer.bytes();
  return bytes;
}

}  // namespace dejavu
