#include "sparsity/runtime.h"

#include <algorithm>

#include "sparsity/sparse_attention.h"
#include "sparsity/sparse_mlp.h"

namespace dejavu {
namespace {

// By which an audit lowers a predictor's thresholds: scores are log-odds.
constexpr float kLowerBy = 1.0F;
// By which it scales thresholds on activations.
constexpr float kScaleCutoffs = 0.5F;

Status check_sizes(const PredictorWeights& weights, std::size_t levels) {
  const auto rank = static_cast<std::size_t>(weights.rank);
  const auto units = static_cast<std::size_t>(weights.units);
  const bool low_rank = !weights.down.empty();
  const bool fits =
      weights.up.size() == units * rank && weights.up_scale.size() == units &&
      weights.bias.size() == units && weights.thresholds.size() == levels * units &&
      (low_rank ? weights.down.size() == rank * static_cast<std::size_t>(weights.input) &&
                      weights.down_scale.size() == rank
                : weights.rank == weights.input);
  if (!fits) return invalid("arrays of a predictor do not fit together");
  return {};
}

Status check_shape(const PredictorWeights& weights, int input, int units) {
  if (weights.input == input && weights.units == units) return {};
  return invalid("a predictor goes from " + std::to_string(weights.input) + " to " +
                 std::to_string(weights.units) + " units, but the model needs " +
                 std::to_string(input) + " to " + std::to_string(units));
}

}  // namespace

struct SparsityRuntime::Layers {
  Backend* backend = nullptr;
  std::vector<LayerContext> contexts;
  std::vector<std::unique_ptr<LayerModel>> models;
  SparseMemory memory;
  SparseStep step;

  Status add(const LayerContext& context, const Artifact* artifact);

 private:
  Status add_artifact(const LayerContext& context, const Artifact& artifact, LayerModel& model);
};

Status SparsityRuntime::Layers::add(const LayerContext& context, const Artifact* artifact) {
  if (contexts.empty()) {
    auto made = SparseMemory::create(context);
    if (!made) return tl::unexpected(made.error());
    memory = std::move(*made);
    backend = &context.backend;
    step.layers.resize(static_cast<std::size_t>(context.config.layers));
  }
  auto model = std::make_unique<LayerModel>();
  if (artifact != nullptr) {
    const std::string place =
        "the sparsity artifact does not fit the model: layer " + std::to_string(context.index);
    if (artifact->layers.size() != static_cast<std::size_t>(context.config.layers))
      return invalid("the sparsity artifact has " + std::to_string(artifact->layers.size()) +
                     " layers, but the model " + std::to_string(context.config.layers) +
                     "; calibrate this model anew");
    if (Status added = add_artifact(context, *artifact, *model); !added)
      return invalid(place + ": " + added.error().message + "; calibrate this model anew");
  }
  contexts.push_back(context);
  models.push_back(std::move(model));
  return {};
}

Status SparsityRuntime::Layers::add_artifact(const LayerContext& context, const Artifact& artifact,
                                             LayerModel& model) {
  const LayerArtifact& own = artifact.layers[static_cast<std::size_t>(context.index)];
  const ModelConfig& config = context.config;
  const auto take = [&](const std::optional<PredictorWeights>& weights, int units,
                        std::optional<DevicePredictor>& to) -> Status {
    if (!weights) return {};
    if (Status fits = check_shape(*weights, config.hidden_size, units); !fits) return fits;
    if (Status fits = check_sizes(*weights, artifact.lookahead_levels.size()); !fits) return fits;
    auto uploaded = DevicePredictor::upload(*weights, *backend);
    if (!uploaded) return tl::unexpected(uploaded.error());
    to = std::move(*uploaded);
    return {};
  };
  if (Status taken = take(own.mlp, config.ffn_size, model.neurons); !taken) return taken;
  if (context.index > 0) {
    if (Status taken = take(own.heads, config.kv_heads, model.heads); !taken) return taken;
  }
  if (own.cutoffs.empty()) return {};
  if (own.cutoffs.size() !=
      artifact.threshold_levels.size() * static_cast<std::size_t>(config.ffn_size))
    return invalid("its thresholds on activations are not one a level and neuron");
  model.cutoffs = own.cutoffs;
  const std::size_t bytes = model.cutoffs.size() * sizeof(float);
  auto buffer = backend->allocate(bytes);
  if (!buffer) return tl::unexpected(buffer.error());
  model.device_cutoffs = std::move(*buffer);
  backend->upload(model.device_cutoffs.data(), model.cutoffs.data(), bytes, StreamId::kMain);
  return backend->synchronize(StreamId::kMain);
}

SparsityRuntime::SparsityRuntime(Parts parts)
    : parts_(std::move(parts)), layers_(std::make_unique<Layers>()) {}

SparsityRuntime::~SparsityRuntime() = default;

SparseLayer SparsityRuntime::layer(const LayerContext& context) const {
  return {context, layers_->step, layers_->memory,
          *layers_->models[static_cast<std::size_t>(context.index)]};
}

// A layer's attention is made first.
Result<std::unique_ptr<Attention>> SparsityRuntime::attention(const LayerContext& context) const {
  const Artifact* artifact = parts_.artifact ? &*parts_.artifact : nullptr;
  if (Status added = layers_->add(context, artifact); !added) return tl::unexpected(added.error());
  return std::make_unique<SparseAttention>(layer(context));
}

Result<std::unique_ptr<Mlp>> SparsityRuntime::mlp(const LayerContext& context) const {
  return std::make_unique<SparseMlp>(layer(context));
}

Status SparsityRuntime::prepare() {
  const ModelConfig& config = layers_->contexts.front().config;
  const Artifact* artifact = parts_.artifact ? &*parts_.artifact : nullptr;
  auto modes = SparsityModes::create(config, artifact, parts_.options);
  if (!modes) return tl::unexpected(modes.error());
  modes_ = std::move(*modes);

  CrossoverArgs measure{layers_->contexts, layers_->memory};
  measure.gather = !modes_.levels(SparsityMode::kLookahead).empty();
  measure.skip_zeros = measure.gather || !modes_.levels(SparsityMode::kThreshold).empty() ||
                       has_exact_zeros(config.activation);
  planner_.emplace(StepPlanner::Args{
      config, artifact, layers_->models, parts_.options.max_density,
      parts_.crossover ? *parts_.crossover : measure_crossover(measure), modes_.standard()});
  auditor_.emplace(
      Auditor::Options{parts_.options.audit_interval, parts_.options.audit_error_limit},
      config.layers);
  tally_.emplace(Tally::Args{config, artifact, layers_->models, modes_, parts_.artifact_directory});
  return {};
}

Result<SparsityChoice> SparsityRuntime::resolve(const SparsityWish& wish) const {
  return modes_.resolve(wish);
}

SparsityStatus SparsityRuntime::status() const {
  const std::lock_guard lock(mutex_);
  return tally_->status();
}

std::size_t SparsityRuntime::memory_bytes() const {
  std::size_t bytes = 0;
  for (const Buffer& buffer : layers_->memory.storage) bytes += buffer.bytes();
  for (const auto& model : layers_->models) {
    bytes += model->device_cutoffs.bytes();
    for (const auto* predictor : {&model->neurons, &model->heads})
      if (*predictor) bytes += (*predictor)->bytes();
  }
  return bytes;
}

void SparsityRuntime::begin_step(const StepBatch& batch) {
  for (const auto& [block, action] : changes_) apply(block, action);
  changes_.clear();
  Flight& flight = flights_.emplace_back();
  flight.figures = planner_->plan(batch, *auditor_);
  SparseStep& step = layers_->step;
  step.tokens = batch.tokens;
  step.layers = flight.figures.plans;
  step.predict_seconds = 0;
  step.deferred_before = layers_->backend->deferred_predict_time();
  if (flight.figures.sparse() && auditor_->due()) pick_audit(batch, flight);
  step.audit = flight.audit ? &*flight.audit : nullptr;
  step.predict_stream = parts_.options.inline_predictors ? StreamId::kMain : StreamId::kSide;
  step.stamped = flight.audit && layers_->backend->info().asynchronous;
}

std::optional<ReplayKey> SparsityRuntime::replay_key() const {
  const SparseStep& step = layers_->step;
  if (step.audit != nullptr) return std::nullopt;
  ReplayKey key;
  for (const LayerPlan& plan : step.layers) {
    std::int64_t word = static_cast<std::int64_t>(plan.method);
    for (const bool flag :
         {plan.neurons_predicted, plan.heads_predicted, plan.cutoffs, plan.counted})
      word = 2 * word + static_cast<std::int64_t>(flag);
    key.push_back(word);
  }
  return key;
}

void SparsityRuntime::end_step(std::span<TokenDensity> densities) {
  Flight& flight = flights_.back();
  flight.densities = densities;
  StepFigures& figures = flight.figures;
  if (!figures.sparse()) return;
  figures.counts.resize(figures.plans.size() * kCountKinds *
                        (static_cast<std::size_t>(figures.tokens) + 1));
  layers_->backend->download(figures.counts.data(), layers_->memory.counts,
                             figures.counts.size() * sizeof(std::int32_t), StreamId::kMain);
  const SparseStep& step = layers_->step;
  if (step.stamped) {
    flight.stamps.resize(figures.plans.size() * kPredictors);
    layers_->backend->download(flight.stamps.data(), layers_->memory.stamps,
                               flight.stamps.size() * sizeof(PredictStamps), StreamId::kMain);
  }
  const DeferredPredictTime deferred = layers_->backend->deferred_predict_time();
  figures.overlapped_seconds = deferred.beside - step.deferred_before.beside;
  figures.predict_seconds = step.predict_seconds + figures.overlapped_seconds + deferred.alone -
                            step.deferred_before.alone;
}

void SparsityRuntime::step_ended() {
  Flight flight = std::move(flights_.front());
  flights_.pop_front();
  planner_->learn(flight.figures);
  estimate_predict_time(flight);
  // First: what it finds goes with the token's own figures.
  if (flight.audit) judge_audit(*flight.audit, flight.figures);
  const std::lock_guard lock(mutex_);
  tally_->step(flight.figures, flight.densities);
}

// Each step with stamps stands for itself and those since the last.
void SparsityRuntime::estimate_predict_time(Flight& flight) {
  StepFigures& figures = flight.figures;
  if (std::ranges::any_of(figures.plans, [](const LayerPlan& plan) {
        return plan.neurons_predicted || plan.heads_predicted;
      }))
    ++unstamped_;
  if (flight.stamps.empty()) return;
  const PredictTime time = predict_time(figures.plans, flight.stamps);
  figures.predict_seconds = unstamped_ * time.seconds;
  figures.overlapped_seconds = unstamped_ * time.beside;
  unstamped_ = 0;
}

void SparsityRuntime::pick_audit(const StepBatch& batch, Flight& flight) {
  const StepFigures& figures = flight.figures;
  std::vector<Auditor::Block> blocks;
  for (std::size_t l = 0; l < figures.plans.size(); ++l) {
    const int layer = static_cast<int>(l);
    const LayerPlan& plan = figures.plans[l];
    if (plan.neurons_predicted) blocks.push_back({layer, AuditKind::kNeurons});
    if (plan.cutoffs) blocks.push_back({layer, AuditKind::kCutoffs});
    // Steps of one token a sequence: no token attends to another of the step.
    if (plan.heads_predicted && batch.tokens == batch.sequences)
      blocks.push_back({layer, AuditKind::kHeads});
  }
  const auto block = auditor_->choose(blocks);
  if (!block) return;
  const SparsityMode mode =
      block->kind == AuditKind::kCutoffs ? SparsityMode::kThreshold : SparsityMode::kLookahead;
  std::vector<int> tokens;
  for (int t = 0; t < figures.tokens; ++t)
    if (figures.choices[static_cast<std::size_t>(t)].mode == mode) tokens.push_back(t);

  const LayerContext& context = layers_->contexts.front();
  const ModelConfig& config = context.config;
  AuditRecord& record = flight.audit.emplace();
  record.layer = block->layer;
  record.kind = block->kind;
  record.token = tokens[random_() % tokens.size()];
  const SparsityChoice& choice = figures.choices[static_cast<std::size_t>(record.token)];
  const int cutoff_level = choice.mode == SparsityMode::kThreshold ? choice.level : -1;
  record.index = {record.token, record.token, cutoff_level, -1, 0, 1};
  record.dtype = context.workspace.normed.dtype;
  const bool heads = record.kind == AuditKind::kHeads;
  record.units = heads ? config.kv_heads : config.ffn_size;
  record.unit_width = heads ? config.heads / config.kv_heads * config.head_dim : 1;
  record.parts.resize(2 * static_cast<std::size_t>(record.units * record.unit_width) *
                      dtype_size(record.dtype));
  record.out.resize(2 * static_cast<std::size_t>(config.hidden_size));
  layers_->backend->upload(layers_->memory.audit_index, record.index.data(), sizeof record.index,
                           StreamId::kMain);
}

void SparsityRuntime::judge_audit(const AuditRecord& record, StepFigures& figures) {
  const AuditFigures found = judge(record);
  const Auditor::Block block{record.layer, record.kind};
  const AuditAction action = auditor_->judged(block, found.relative_error);
  figures.audited_token = record.token;
  figures.audit =
      TokenAudit{record.layer, record.kind == AuditKind::kHeads, static_cast<float>(found.recall()),
                 static_cast<float>(found.relative_error)};
  if (action != AuditAction::kNone) changes_.emplace_back(block, action);
  const std::lock_guard lock(mutex_);
  tally_->audited(record, found, auditor_->recent_error(block));
}

void SparsityRuntime::apply(const Auditor::Block& block, AuditAction action) {
  if (action == AuditAction::kWiden) {
    LayerModel& model = *layers_->models[static_cast<std::size_t>(block.layer)];
    if (block.kind == AuditKind::kCutoffs) {
      for (float& cutoff : model.cutoffs) cutoff *= kScaleCutoffs;
      layers_->backend->upload(model.device_cutoffs.data(), model.cutoffs.data(),
                               model.cutoffs.size() * sizeof(float), StreamId::kMain);
    } else {
      (block.kind == AuditKind::kHeads ? model.heads : model.neurons)
          ->lower_thresholds(kLowerBy, *layers_->backend);
    }
  }
  const std::lock_guard lock(mutex_);
  tally_->changed(block, action);
}

}  // namespace dejavu
