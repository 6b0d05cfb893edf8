#include "sparsity/analysis/observer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace dejavu {
namespace {

// Of rows of equal norm (rms_normalised), summed over tokens.
double cosine_sum(const HostMatrix& a, const HostMatrix& b) {
  return std::inner_product(a.values.begin(), a.values.end(), b.values.begin(), 0.0) /
         static_cast<double>(a.cols);
}

HostMatrix columns_of(const HostMatrix& from, const std::vector<std::size_t>& columns) {
  HostMatrix out(from.rows, columns.size());
  for (std::size_t t = 0; t < from.rows; ++t)
    for (std::size_t i = 0; i < columns.size(); ++i) out.row(t)[i] = from.row(t)[columns[i]];
  return out;
}

VantageFigures vantage_figures(const RecallCurve& curve) {
  VantageFigures out;
  for (std::size_t i = 0; i < kRecallDensities.size(); ++i)
    out.recall[i] = curve.recall_at(kRecallDensities[i]);
  out.density_for_wanted = curve.at_recall(kWantedRecall).density;
  return out;
}

std::optional<ForesightFigures> foresight_figures(const std::optional<Foresight>& foresight) {
  if (!foresight || foresight->curve(Vantage::kBefore).empty()) return std::nullopt;
  ForesightFigures out;
  out.true_density = foresight->curve(Vantage::kBefore).true_density();
  for (std::size_t s = 0; s < out.vantages.size(); ++s)
    out.vantages[s] = vantage_figures(foresight->curve(static_cast<Vantage>(s)));
  return out;
}

UnionDensity predicted_unions(const HostMatrix& scores, float threshold) {
  TokenSets sets(scores.cols);
  std::vector<std::uint8_t> in(scores.cols);
  for (std::size_t t = 0; t < scores.rows; ++t) {
    for (std::size_t i = 0; i < scores.cols; ++i) in[i] = scores.row(t)[i] >= threshold ? 1 : 0;
    sets.add(in);
  }
  return sets.union_density();
}

}  // namespace

Observer::Observer(const ModelConfig& config, ObserverSettings settings)
    : config_(config),
      settings_(std::move(settings)),
      layers_(static_cast<std::size_t>(config.layers)) {
  for (const int l : settings_.studied_layers) {
    Layer& layer = layers_[static_cast<std::size_t>(l)];
    layer.neurons.emplace(settings_.exact_zeros);
    if (l > 0 && config.kv_heads > 1) layer.heads.emplace(false);
  }
}

void Observer::begin(Phase phase) {
  if (phase_ == Phase::kLearn && phase == Phase::kJudge) {
    for (Layer& layer : layers_) {
      if (layer.neurons) layer.neurons->solve();
      if (layer.heads) layer.heads->solve();
    }
  }
  phase_ = phase;
}

std::vector<std::size_t> Observer::neuron_sample() const {
  const auto ffn = static_cast<std::size_t>(config_.ffn_size);
  const std::size_t count = std::min(ffn, settings_.studied_neurons);
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < count; ++i) out.push_back(i * ffn / count);
  return out;
}

void Observer::attention_input(const LayerContext& layer, int tokens) {
  contributions_.prepare(layer);
  attention_stream_ =
      rms_normalised(download(first_rows(layer.workspace.residual, tokens), layer.backend));
  if (layer.index == 0) embedding_ = attention_stream_;
  attention_normed_ = download(first_rows(layer.workspace.normed, tokens), layer.backend);
  at(layer).tokens += tokens;
  if (layer.index > 0)
    layers_[static_cast<std::size_t>(layer.index) - 1].cosine_to_next +=
        cosine_sum(mlp_stream_, attention_stream_);
}

void Observer::count_heads(const HostMatrix& norms, Layer& layer) const {
  layer.head_shares.resize(norms.cols);
  std::vector<double> squares(norms.cols);
  for (std::size_t t = 0; t < norms.rows; ++t) {
    const float* row = norms.row(t);
    std::transform(row, row + norms.cols, squares.begin(),
                   [](float v) { return static_cast<double>(v) * static_cast<double>(v); });
    std::sort(squares.begin(), squares.end(), std::greater<>());
    const double total = std::accumulate(squares.begin(), squares.end(), 0.0);
    double held = 0;
    for (std::size_t g = 0; g < squares.size(); ++g) {
      if (held < 0.95 * total) ++layer.heads_for_95;
      held += squares[g];
      layer.head_shares[g] += total > 0 ? squares[g] / total : 0;
    }
  }
}

void Observer::foresee(Foresight& foresight, const ForesightBatch& batch, Layer* keep,
                       Backend& backend) const {
  if (phase_ == Phase::kLearn) return foresight.learn(batch, backend);
  const HostMatrix scores = foresight.judge(batch, backend);
  if (keep == nullptr) return;
  HostMatrix& kept = keep->judged_scores;
  kept.cols = scores.cols;
  for (std::size_t t = 0; t < scores.rows; t += settings_.sample_stride) {
    kept.values.insert(kept.values.end(), scores.row(t), scores.row(t) + scores.cols);
    ++kept.rows;
  }
}

void Observer::heads_computed(const LayerContext& layer, int tokens) {
  const HostMatrix context = download(first_rows(layer.workspace.context, tokens), layer.backend);
  HostMatrix norms = contributions_.groups(layer.index, context);
  sets_.set_tiers(UnitKind::kHeads, layer.index, norms, settings_.sizes.heads);
  count_heads(norms, at(layer));
  if (!at(layer).heads) return;

  ForesightBatch batch;
  batch.features = {&embedding_, &mlp_stream_, &attention_normed_};
  for (std::size_t t = 0; t < norms.rows; ++t) {
    const std::uint8_t* tiers = sets_.tiers(UnitKind::kHeads, layer.index, t);
    float* row = norms.row(t);
    const double total = std::sqrt(std::inner_product(row, row + norms.cols, row, 0.0));
    for (std::size_t g = 0; g < norms.cols; ++g) {
      batch.active.push_back(tiers[g] <= settings_.active_heads ? 1 : 0);
      if (total > 0) row[g] = static_cast<float>(row[g] / total);
    }
  }
  batch.targets = std::move(norms);
  foresee(*at(layer).heads, batch, nullptr, layer.backend);
}

void Observer::mlp_input(const LayerContext& layer, int tokens) {
  mlp_stream_ =
      rms_normalised(download(first_rows(layer.workspace.residual, tokens), layer.backend));
  mlp_normed_ = download(first_rows(layer.workspace.normed, tokens), layer.backend);
  at(layer).cosine_to_mlp += cosine_sum(attention_stream_, mlp_stream_);
}

// Pre-activations above their threshold where zeros are exact; else what neurons contribute.
HostMatrix Observer::neuron_targets(const LayerContext& layer, const HostMatrix& contributions,
                                    int tokens) const {
  const std::vector<std::size_t> sample = neuron_sample();
  if (!settings_.exact_zeros) return columns_of(contributions, sample);
  const MlpWeights& weights = layer.weights.mlp;
  const bool gated = weights.gate.data != nullptr;
  const ConstMatrix& all = gated ? weights.gate : weights.up;
  const float* bias = gated ? weights.gate_bias : weights.up_bias;
  HostMatrix rows(sample.size(), static_cast<std::size_t>(all.cols));
  for (std::size_t i = 0; i < sample.size(); ++i) {
    const HostMatrix row = download(
        {all.row(static_cast<std::int64_t>(sample[i])), all.dtype, 1, all.cols, all.stride},
        layer.backend);
    std::copy(row.values.begin(), row.values.end(), rows.row(i));
  }
  HostMatrix biases(1, static_cast<std::size_t>(config_.ffn_size));
  if (bias != nullptr)
    biases = download({bias, DType::kF32, 1, config_.ffn_size, config_.ffn_size}, layer.backend);
  HostMatrix out = multiply_transposed(mlp_normed_, rows, layer.backend);
  for (std::size_t t = 0; t < static_cast<std::size_t>(tokens); ++t)
    for (std::size_t i = 0; i < sample.size(); ++i)
      out.row(t)[i] += biases.values[sample[i]] - config_.activation_threshold;
  return out;
}

void Observer::neurons_computed(const LayerContext& layer, int tokens) {
  const HostMatrix hidden = download(first_rows(layer.workspace.hidden, tokens), layer.backend);
  Layer& mine = at(layer);
  mine.zeros += static_cast<double>(std::count(hidden.values.begin(), hidden.values.end(), 0.0F));
  mine.activations += static_cast<double>(hidden.values.size());
  const HostMatrix contributions = contributions_.neurons(layer.index, hidden);
  sets_.set_tiers(UnitKind::kNeurons, layer.index, contributions, settings_.sizes.neurons);
  for (std::size_t t = 0; t < hidden.rows; t += settings_.sample_stride) {
    const std::uint8_t* tiers = sets_.tiers(UnitKind::kNeurons, layer.index, t);
    mine.sampled_tiers.insert(mine.sampled_tiers.end(), tiers, tiers + hidden.cols);
  }
  if (!mine.neurons) return;

  ForesightBatch batch;
  batch.features = {&embedding_, &attention_stream_, &mlp_normed_};
  batch.targets = neuron_targets(layer, contributions, tokens);
  const std::vector<std::size_t> sample = neuron_sample();
  for (std::size_t t = 0; t < hidden.rows; ++t) {
    const std::uint8_t* tiers = sets_.tiers(UnitKind::kNeurons, layer.index, t);
    for (const std::size_t i : sample) {
      const bool active =
          settings_.exact_zeros ? hidden.row(t)[i] != 0.0F : tiers[i] <= settings_.active_neurons;
      batch.active.push_back(active ? 1 : 0);
    }
  }
  foresee(*mine.neurons, batch, &mine, layer.backend);
}

UnionDensity Observer::true_unions(const Layer& layer, int neuron_size) const {
  const auto ffn = static_cast<std::size_t>(config_.ffn_size);
  TokenSets sets(ffn);
  std::vector<std::uint8_t> in(ffn);
  for (std::size_t at = 0; at < layer.sampled_tiers.size(); at += ffn) {
    for (std::size_t i = 0; i < ffn; ++i)
      in[i] = layer.sampled_tiers[at + i] <= neuron_size ? 1 : 0;
    sets.add(in);
  }
  return sets.union_density();
}

void Observer::report(int neuron_size, Findings& findings) const {
  findings.in_use = 0;
  for (const Layer& layer : layers_) {
    LayerFindings out;
    out.zeros = layer.zeros / layer.activations;
    out.head_shares = layer.head_shares;
    for (double& share : out.head_shares) share /= layer.tokens;
    out.heads_for_95 = layer.heads_for_95 / layer.tokens;
    out.unions = true_unions(layer, neuron_size);
    findings.in_use += out.unions.front() / static_cast<double>(layers_.size());
    out.neurons = foresight_figures(layer.neurons);
    out.heads = foresight_figures(layer.heads);
    if (out.neurons)
      out.predicted_unions = predicted_unions(
          layer.judged_scores,
          layer.neurons->curve(Vantage::kBefore).at_recall(kWantedRecall).threshold);
    out.cosine_to_mlp = layer.cosine_to_mlp / layer.tokens;
    if (&layer != &layers_.back()) out.cosine_to_next = layer.cosine_to_next / layer.tokens;
    findings.layers.push_back(std::move(out));
  }
}

}  // namespace dejavu
