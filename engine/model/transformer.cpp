#include "engine/model/transformer.h"

#include <cassert>
#include <numeric>
#include <utility>

#include "engine/model/layer_factory.h"
#include "engine/model/random_source.h"
#include "engine/model/rope.h"
#include "engine/model/stored_model.h"

namespace dejavu {
namespace {

constexpr int kOptPositionOffset = 2;

struct Layer {
  std::unique_ptr<Attention> attention;
  std::unique_ptr<Mlp> mlp;
};

class Decoder final : public Transformer {
 public:
  Decoder(ModelConfig config, Weights weights, int max_model_len, Backend& backend)
      : config_(std::move(config)),
        weights_(std::move(weights)),
        max_model_len_(max_model_len),
        backend_(backend) {}

  Status prepare(const TransformerOptions& options) {
    auto workspace = Workspace::create(
        config_, {weights_.dtype, options.max_batch_tokens, options.max_logit_rows}, backend_);
    if (!workspace) return tl::unexpected(workspace.error());
    workspace_ = std::move(*workspace);
    if (Status made = make_rope_tables(); !made) return made;
    if (Status made = make_row_ids(options.max_batch_tokens); !made) return made;
    plan_norms();
    const DenseLayerFactory dense;
    return make_layers(options.layers == nullptr ? dense : *options.layers);
  }

  const ModelConfig& config() const override { return config_; }
  DType dtype() const override { return weights_.dtype; }
  int max_model_len() const override { return max_model_len_; }
  std::size_t weight_bytes() const override { return weights_.bytes; }
  std::size_t decode_bytes() const override { return weights_.decode_bytes; }
  KvCacheShape kv_shape() const override {
    return {config_.layers, config_.kv_heads, config_.head_dim, weights_.dtype};
  }

  ConstMatrix forward(const StepBatch& batch, const KvCache& cache) override {
    embed(batch);
    for (int l = 0; l < config_.layers; ++l) run_layer(l, batch, cache.layer(l));
    return logits(batch);
  }

  void embed(const StepBatch& batch) override {
    assert(batch.tokens <= workspace_.residual.rows);
    EmbedArgs args;
    args.ids = batch.ids;
    args.last_tokens = batch.last_tokens;
    args.positions = batch.positions;
    args.token_table = weights_.tokens;
    args.position_table = weights_.positions;
    args.position_offset = kOptPositionOffset;
    args.out = residual(batch.tokens);
    backend_.embed(args, StreamId::kMain);
  }

  void run_layer(int l, const StepBatch& batch, const KvView& cache) override {
    const Matrix stream = residual(batch.tokens);
    const Matrix normed = first_rows(workspace_.normed, batch.tokens);
    const Layer& layer = layers_[static_cast<std::size_t>(l)];
    enter_block(2 * l, stream, normed);
    fork();
    layer.attention->attend(batch, normed, cache);
    layer.mlp->look_ahead(batch, stream);
    join();
    layer.attention->project(batch, stream);

    enter_block(2 * l + 1, stream, normed);
    fork();
    layer.mlp->up(batch, normed);
    if (l + 1 < config_.layers)
      layers_[static_cast<std::size_t>(l) + 1].attention->look_ahead(batch, stream);
    join();
    layer.mlp->down(batch, stream);
  }

  ConstMatrix logits(const StepBatch& batch) override {
    assert(batch.logit_rows <= workspace_.logits.rows);
    if (batch.logit_rows == 0) return {};
    const Matrix stream = residual(batch.tokens);
    const Matrix final = first_rows(workspace_.final, batch.logit_rows);
    if (norms_.back() == nullptr) {
      gather(batch.logit_tokens, stream, final);
    } else {
      const Matrix gathered = first_rows(workspace_.gathered, batch.logit_rows);
      gather(batch.logit_tokens, stream, gathered);
      norm(*norms_.back(), gathered, final);
    }
    ConstMatrix head_input = final;
    if (weights_.project_out.data != nullptr) {
      const Matrix embedded = first_rows(workspace_.embedded, batch.logit_rows);
      backend_.linear({final, weights_.project_out, nullptr, embedded}, StreamId::kMain);
      head_input = embedded;
    }
    const Matrix out = first_rows(workspace_.logits, batch.logit_rows);
    backend_.linear({head_input, weights_.head, nullptr, out}, StreamId::kMain);
    return out;
  }

  Matrix residual(int tokens) const override { return first_rows(workspace_.residual, tokens); }

 private:
  // Side work queued from here on sees what the main stream has done so far.
  void fork() { backend_.order(StreamId::kMain, StreamId::kSide); }
  // Main work queued from here on sees what the side stream has done, and may write what it read.
  void join() { backend_.order(StreamId::kSide, StreamId::kMain); }

  Status make_rope_tables() {
    if (config_.learned_positions) return {};
    const RopeTables tables = rope_tables(config_.rope, config_.head_dim, max_model_len_);
    const std::size_t bytes = tables.cos.size() * sizeof(float);
    auto buffer = backend_.allocate(2 * bytes);
    if (!buffer) return tl::unexpected(buffer.error());
    rope_buffer_ = std::move(*buffer);
    float* cos = rope_buffer_.as<float>();
    float* sin = cos + tables.cos.size();
    backend_.upload(cos, tables.cos.data(), bytes, StreamId::kMain);
    backend_.upload(sin, tables.sin.data(), bytes, StreamId::kMain);
    rope_ = {cos, sin};
    return backend_.synchronize(StreamId::kMain);
  }

  // 0, 1, 2, …: gathers every row, for models that convert the residual without a norm.
  Status make_row_ids(int count) {
    std::vector<std::int32_t> ids(static_cast<std::size_t>(count));
    std::iota(ids.begin(), ids.end(), 0);
    auto buffer = backend_.allocate(ids.size() * sizeof(std::int32_t));
    if (!buffer) return tl::unexpected(buffer.error());
    row_ids_ = std::move(*buffer);
    backend_.upload(row_ids_.data(), ids.data(), ids.size() * sizeof(std::int32_t),
                    StreamId::kMain);
    return backend_.synchronize(StreamId::kMain);
  }

  // norms_[b] is applied on entering block b (attention and MLP alternate), the last one before
  // the head; null: none. A post-norm model applies a block's norm to its output, which is the same
  // as on entering the next.
  void plan_norms() {
    norms_.assign(static_cast<std::size_t>(2 * config_.layers) + 1, nullptr);
    std::size_t block = config_.norm_before ? 0 : 1;
    for (const LayerWeights& layer : weights_.layers) {
      norms_[block++] = &layer.attention_norm;
      norms_[block++] = &layer.mlp_norm;
    }
    if (config_.final_norm) norms_.back() = &weights_.final_norm;
  }

  Status make_layers(const LayerFactory& factory) {
    for (int l = 0; l < config_.layers; ++l) {
      const LayerContext context{l,          config_, weights_.layers[static_cast<std::size_t>(l)],
                                 workspace_, rope_,   backend_};
      auto attention = factory.attention(context);
      if (!attention) return tl::unexpected(attention.error());
      auto mlp = factory.mlp(context);
      if (!mlp) return tl::unexpected(mlp.error());
      layers_.push_back({std::move(*attention), std::move(*mlp)});
    }
    return {};
  }

  // out[i] = from[ids[i]], converted.
  void gather(const std::int32_t* ids, const ConstMatrix& from, const Matrix& out) {
    EmbedArgs args;
    args.ids = ids;
    args.token_table = from;
    args.out = out;
    backend_.embed(args, StreamId::kMain);
  }

  void norm(const NormWeights& weights, const ConstMatrix& x, const Matrix& out) {
    backend_.norm({config_.norm, x, weights.weight, weights.bias, config_.norm_epsilon, out},
                  StreamId::kMain);
  }

  void enter_block(int block, const Matrix& residual, const Matrix& normed) {
    const NormWeights* weights = norms_[static_cast<std::size_t>(block)];
    if (weights == nullptr) return gather(row_ids_.as<std::int32_t>(), residual, normed);
    norm(*weights, residual, normed);
    if (!config_.norm_before) norm(*weights, residual, residual);
  }

  ModelConfig config_;
  Weights weights_;
  int max_model_len_;
  Backend& backend_;
  Workspace workspace_;
  Buffer rope_buffer_;
  RopeView rope_;
  Buffer row_ids_;
  std::vector<const NormWeights*> norms_;
  std::vector<Layer> layers_;
};

Result<int> context_length(const ModelConfig& config, const TransformerOptions& options) {
  if (options.max_model_len == 0) return config.max_position;
  if (options.max_model_len < 0 || options.max_model_len > config.longest_context())
    return invalid("max_model_len is " + std::to_string(options.max_model_len) +
                       ", but this model's positions end at " +
                       std::to_string(config.longest_context()),
                   "max_model_len");
  return options.max_model_len;
}

struct BuildArgs {
  ModelConfig config;
  const WeightSource& source;
  std::string prefix;
  DType dtype;
  const LoadProgress& progress;
};

Result<std::unique_ptr<Transformer>> build(const BuildArgs& args, Backend& backend,
                                           const TransformerOptions& options) {
  const auto length = context_length(args.config, options);
  if (!length) return tl::unexpected(length.error());
  auto weights =
      load_weights({args.config, args.source, args.prefix, args.dtype, args.progress}, backend);
  if (!weights) return tl::unexpected(weights.error());
  auto decoder = std::make_unique<Decoder>(args.config, std::move(*weights), *length, backend);
  if (Status prepared = decoder->prepare(options); !prepared)
    return tl::unexpected(prepared.error());
  return decoder;
}

}  // namespace

Result<std::unique_ptr<Transformer>> Transformer::load(const std::filesystem::path& directory,
                                                       Backend& backend,
                                                       const TransformerOptions& options,
                                                       const LoadProgress& progress) {
  const auto stored = open_stored_model(directory);
  if (!stored) return tl::unexpected(stored.error());
  const DType dtype = options.dtype.value_or(stored->dtype);
  return build({stored->config, *stored->checkpoint, stored->prefix, dtype, progress}, backend,
               options);
}

Result<std::unique_ptr<Transformer>> Transformer::random(const ModelConfig& config,
                                                         Backend& backend,
                                                         const TransformerOptions& options,
                                                         std::uint64_t seed) {
  const RandomSource source(seed);
  const DType dtype = options.dtype.value_or(config.stored_dtype.value_or(DType::kBF16));
  return build({config, source, "", dtype, LoadProgress()}, backend, options);
}

}  // namespace dejavu
