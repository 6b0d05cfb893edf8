#include "sparsity/modes.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace dejavu {
namespace {

constexpr SparsityMode kModes[] = {SparsityMode::kDense, SparsityMode::kExact,
                                   SparsityMode::kThreshold, SparsityMode::kLookahead};
constexpr double kSameRecall = 1e-6;

std::optional<SparsityMode> mode_of(SparsityDefault mode) {
  switch (mode) {
    case SparsityDefault::kAuto:
      break;
    case SparsityDefault::kDense:
      return SparsityMode::kDense;
    case SparsityDefault::kExact:
      return SparsityMode::kExact;
    case SparsityDefault::kThreshold:
      return SparsityMode::kThreshold;
    case SparsityDefault::kLookahead:
      return SparsityMode::kLookahead;
  }
  return {};
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

std::string joined(const std::vector<double>& values) {
  std::string text;
  for (const double value : values) text += (text.empty() ? "" : ", ") + number(value);
  return text;
}

std::vector<double> recalls_of(const std::vector<LevelFigures>& levels) {
  std::vector<double> recalls;
  for (const LevelFigures& level : levels) recalls.push_back(level.target_recall);
  return recalls;
}

}  // namespace

bool has_exact_zeros(Activation activation) {
  return activation == Activation::kRelu || activation == Activation::kRelu2 ||
         activation == Activation::kFatRelu;
}

const std::vector<double>& SparsityModes::levels(SparsityMode mode) const {
  static const std::vector<double> none;
  if (mode == SparsityMode::kThreshold) return threshold_.recalls;
  return mode == SparsityMode::kLookahead ? lookahead_.recalls : none;
}

Status SparsityModes::possible(SparsityMode mode) const {
  if (mode == SparsityMode::kExact && !has_exact_zeros(activation_))
    return invalid(
        "exact skips activations that are exactly zero, and this model's activation has none; "
        "threshold does the same for small ones, with an artifact of dejavu calibrate");
  const bool levelled = mode == SparsityMode::kThreshold || mode == SparsityMode::kLookahead;
  if (levelled && levels(mode).empty())
    return invalid(std::string(sparsity_mode_name(mode)) +
                   (has_artifact_ ? " is not in this model's sparsity artifact"
                                  : " needs a sparsity artifact, and this model has none") +
                   "; make one with dejavu calibrate");
  return {};
}

SparsityMode SparsityModes::automatic() const {
  if (has_artifact_) return recommended_;
  return has_exact_zeros(activation_) ? SparsityMode::kExact : SparsityMode::kDense;
}

Result<SparsityModes> SparsityModes::create(const ModelConfig& config, const Artifact* artifact,
                                            const SparsityOptions& options) {
  SparsityModes modes;
  modes.activation_ = config.activation;
  modes.has_artifact_ = artifact != nullptr;
  if (artifact != nullptr) {
    modes.recommended_ = artifact->recommended;
    modes.threshold_ = {recalls_of(artifact->threshold_levels), artifact->default_threshold_level};
    modes.lookahead_ = {recalls_of(artifact->lookahead_levels), artifact->default_lookahead_level};
  }
  for (const SparsityMode mode : kModes) {
    const bool listed =
        options.allow.empty() ||
        std::ranges::find(options.allow, sparsity_mode_name(mode)) != options.allow.end();
    if (listed && modes.possible(mode)) modes.allowed_.push_back(mode);
  }

  const std::optional<SparsityMode> named = mode_of(options.mode);
  const SparsityMode mode = named.value_or(modes.automatic());
  if (const Status possible = modes.possible(mode); !possible)
    return invalid("--sparsity: " + possible.error().message, "sparsity");
  if (named && std::ranges::find(modes.allowed_, mode) == modes.allowed_.end())
    return invalid("--sparsity: " + std::string(sparsity_mode_name(mode)) +
                       " is not among the modes of --sparsity-allow; add it there",
                   "sparsity");
  std::optional<double> recall;
  if (options.target_recall > 0) recall = options.target_recall;
  auto choice = modes.at_level(mode, recall);
  if (!choice) return invalid("--target-recall: " + choice.error().message, "target_recall");
  modes.standard_ = *choice;
  modes.reason_ = named                 ? "asked for with --sparsity"
                  : artifact != nullptr ? artifact->reason
                  : mode == SparsityMode::kExact
                      ? "no artifact, and the model's activations have exact zeros to skip"
                      : "no artifact, and the model's activations have no exact zeros";
  return modes;
}

Result<SparsityChoice> SparsityModes::at_level(SparsityMode mode,
                                               std::optional<double> recall) const {
  const std::vector<double>& recalls = levels(mode);
  const std::string name(sparsity_mode_name(mode));
  if (recalls.empty()) {
    if (recall) return invalid(name + " has no levels of recall; leave target_recall out");
    return SparsityChoice{mode, -1};
  }
  if (!recall) {
    const int standard =
        mode == SparsityMode::kThreshold ? threshold_.standard : lookahead_.standard;
    return SparsityChoice{mode, std::clamp(standard, 0, static_cast<int>(recalls.size()) - 1)};
  }
  const auto same = [&](double level) { return std::abs(level - *recall) < kSameRecall; };
  const auto it = std::ranges::find_if(recalls, same);
  if (it == recalls.end())
    return invalid(number(*recall) + " is no level of " + name + "; allowed: " + joined(recalls));
  return SparsityChoice{mode, static_cast<int>(it - recalls.begin())};
}

std::string SparsityModes::allowed_text() const {
  std::string text = "allowed: auto";
  for (const SparsityMode mode : allowed_) text += ", " + std::string(sparsity_mode_name(mode));
  return text;
}

Result<SparsityChoice> SparsityModes::resolve(const SparsityWish& wish) const {
  if (wish.mode.empty() && !wish.target_recall) return standard_;
  SparsityMode mode = standard_.mode;
  if (!wish.mode.empty() && wish.mode != "auto") {
    const auto named = [&](SparsityMode m) { return sparsity_mode_name(m) == wish.mode; };
    const auto* it = std::ranges::find_if(kModes, named);
    if (it == std::end(kModes))
      return invalid("'" + wish.mode + "' is no sparsity mode; " + allowed_text(), "sparsity.mode",
                     "invalid_sparsity_mode");
    mode = *it;
    if (const Status can = possible(mode); !can)
      return invalid(can.error().message + "; " + allowed_text(), "sparsity.mode",
                     "sparsity_not_available");
    if (std::ranges::find(allowed_, mode) == allowed_.end())
      return invalid("this server does not let a request choose " + wish.mode +
                         " (--sparsity-allow); " + allowed_text(),
                     "sparsity.mode", "sparsity_not_allowed");
  }
  // The server's own level holds for its own mode.
  if (mode == standard_.mode && !wish.target_recall) return standard_;
  auto choice = at_level(mode, wish.target_recall);
  if (!choice)
    return invalid(choice.error().message, "sparsity.target_recall", "invalid_target_recall");
  return choice;
}

}  // namespace dejavu
