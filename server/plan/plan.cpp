#include "server/plan/plan.h"

#include <algorithm>
#include <utility>

#include "engine/kv/kv_cache.h"
#include "engine/kv_sizing.h"
#include "sparsity/layer_bytes.h"
#include "sparsity/modes.h"

namespace dejavu {
namespace {

// What a model whose activations have exact zeros usually shows (docs/sparsity.md); analyze and
// calibrate replace it by figures of the model.
constexpr double kAssumedNeurons = 0.1;
constexpr double kAssumedHeads = 0.5;

double element_share(DType dtype) { return static_cast<double>(dtype_size(dtype)) / 2; }

// LayerBytes counts 16 bits an element.
double dense_bytes(const PlanInput& input) {
  const LayerBytes layer(input.config);
  return element_share(input.dtype) *
         (vocabulary_bytes(input.config) + input.config.layers * (layer.attention + layer.mlp));
}

double predictor_bytes(const Artifact& artifact) {
  double bytes = 0;
  for (const LayerArtifact& layer : artifact.layers) {
    for (const auto* part : {&layer.mlp, &layer.heads}) {
      if (*part) bytes += static_cast<double>((*part)->down.size() + (*part)->up.size());
    }
  }
  return bytes;
}

class Planner {
 public:
  explicit Planner(PlanInput input) { plan_.input = std::move(input); }

  Plan run() {
    const PlanInput& input = plan_.input;
    const KvCacheShape shape{input.config.layers, input.config.kv_heads, input.config.head_dim,
                             input.dtype};
    plan_.max_model_len = input.max_model_len > 0 ? input.max_model_len : input.config.max_position;
    plan_.weight_bytes =
        static_cast<std::size_t>(input.config.parameter_count()) * dtype_size(input.dtype);
    plan_.kv_token_bytes = shape.page_bytes() / kKvPageTokens;
    size_kv(shape.page_bytes());
    add_speeds();
    if (plan_.fits) add_flags();
    return std::move(plan_);
  }

 private:
  void size_kv(std::size_t page_bytes) {
    const PlanInput& input = plan_.input;
    const std::size_t memory = input.machine.memory_bytes;
    const auto pages = kv_page_count(
        input.machine, {plan_.weight_bytes, page_bytes, plan_.max_model_len}, input.engine);
    plan_.fits = pages.has_value() && plan_.weight_bytes < memory;
    if (plan_.fits) {
      plan_.kv_tokens = *pages * kKvPageTokens;
    } else if (plan_.weight_bytes >= memory) {
      plan_.problem = "the weights alone are larger than the memory";
    } else {
      plan_.problem = pages.error().message;
    }
    const bool halves = input.dtype == DType::kF32;
    if (!plan_.fits && halves) plan_.problem += "; --dtype bfloat16 takes half";
    if (plan_.fits || plan_.weight_bytes >= memory) return;
    const std::size_t room = (memory - plan_.weight_bytes) / plan_.kv_token_bytes;
    if (room >= kKvPageTokens && room < static_cast<std::size_t>(plan_.max_model_len)) {
      plan_.problem += "; --max-model-len " + std::to_string(room / kKvPageTokens * kKvPageTokens) +
                       " would fit";
    }
  }

  void add(SparsityMode mode, std::string basis, const TokenDensity& density, double extra) {
    const PlanInput& input = plan_.input;
    PlanSpeed speed;
    speed.mode = sparsity_mode_name(mode);
    speed.basis = std::move(basis);
    speed.mlp_density = static_cast<double>(density.mlp);
    speed.head_density = static_cast<double>(density.heads);
    speed.bytes = dense_bytes(input) * weight_share(input.config, mode, density) + extra;
    // A head that is not selected reads no keys and values.
    const double kv = static_cast<double>(plan_.kv_token_bytes) * plan_.max_model_len *
                      static_cast<double>(density.heads);
    const double rate = input.read_gbps * 1e9;
    speed.tokens_per_second = rate / speed.bytes;
    speed.at_full_context = rate / (speed.bytes + kv);
    plan_.speeds.push_back(std::move(speed));
  }

  void add_levels(SparsityMode mode, const std::vector<LevelFigures>& levels, int standard) {
    if (standard < 0 || standard >= static_cast<int>(levels.size())) return;
    const Artifact& artifact = *plan_.input.artifact;
    const LevelFigures& level = levels[static_cast<std::size_t>(standard)];
    add(mode, "measured, in the artifact",
        {static_cast<float>(level.mlp_density), static_cast<float>(level.head_density)},
        mode == SparsityMode::kLookahead ? predictor_bytes(artifact) : 0);
  }

  void add_speeds() {
    add(SparsityMode::kDense, "everything is read", {}, 0);
    const Artifact* artifact = plan_.input.artifact;
    const bool zeros = has_exact_zeros(plan_.input.config.activation);
    constexpr auto kNeurons = static_cast<float>(kAssumedNeurons);
    constexpr auto kHeads = static_cast<float>(kAssumedHeads);
    if (zeros) add(SparsityMode::kExact, "assumed; ask dejavu analyze", {kNeurons, 1}, 0);
    if (artifact != nullptr) {
      add_levels(SparsityMode::kThreshold, artifact->threshold_levels,
                 artifact->default_threshold_level);
      add_levels(SparsityMode::kLookahead, artifact->lookahead_levels,
                 artifact->default_lookahead_level);
    } else if (zeros) {
      add(SparsityMode::kLookahead, "assumed; needs dejavu calibrate", {kNeurons, kHeads}, 0);
    }
  }

  void add_flags() {
    const PlanInput& input = plan_.input;
    if (input.dtype != input.stored)
      plan_.flags.push_back("--dtype " + std::string(dtype_name(input.dtype)));
    if (plan_.max_model_len != input.config.max_position)
      plan_.flags.push_back("--max-model-len " + std::to_string(plan_.max_model_len));
    if (input.engine.kv_cache_bytes != 0)
      plan_.flags.push_back("--kv-cache-memory " + std::to_string(input.engine.kv_cache_bytes));
    // Requests seldom fill the context; more sequences than four times what does would only be
    // preempted.
    const int full = plan_.kv_tokens / plan_.max_model_len;
    const int sequences = std::clamp(4 * full, 1, input.engine.max_num_seqs);
    if (sequences < input.engine.max_num_seqs)
      plan_.flags.push_back("--max-num-seqs " + std::to_string(sequences));
  }

  Plan plan_;
};

}  // namespace

Plan make_plan(PlanInput input) { return Planner(std::move(input)).run(); }

}  // namespace dejavu
