#include "engine/model/rope.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

namespace dejavu {
namespace {

using Scaling = RopeConfig::Scaling;

constexpr std::string_view kScalings = "default, linear, dynamic, yarn, llama3";
constexpr IntRange kPositions{1, 1 << 24};

std::optional<Scaling> scaling_named(std::string_view name) {
  if (name == "default") return Scaling::kNone;
  if (name == "linear") return Scaling::kLinear;
  if (name == "dynamic") return Scaling::kDynamic;
  if (name == "yarn") return Scaling::kYarn;
  if (name == "llama3") return Scaling::kLlama3;
  return {};
}

float positive(ConfigReader& in, std::string_view key, std::optional<float> fallback) {
  const float value = in.real(key, fallback);
  if (!(value > 0) || std::isinf(value)) in.refuse(key, "must be finite and greater than 0");
  return value;
}

// The keys that may stand in either place.
void read_base(ConfigReader& in, RopeConfig& rope) {
  rope.theta = in.real("rope_theta", rope.theta);
  if (rope.theta <= 1) in.refuse("rope_theta", "must be greater than 1");
  if (in.real("partial_rotary_factor", 1.0F) != 1.0F)
    in.refuse("partial_rotary_factor", "is not 1; partial rotation is not supported");
}

float yarn_magnitude(float factor, float mscale) {
  return factor <= 1 ? 1.0F : 0.1F * mscale * std::log(factor) + 1.0F;
}

void read_yarn(ConfigReader& in, RopeConfig& rope) {
  rope.beta_fast = positive(in, "beta_fast", 32.0F);
  rope.beta_slow = positive(in, "beta_slow", 1.0F);
  rope.truncate = in.boolean("truncate", true);
  const float mscale = in.real("mscale", 0.0F);
  const float mscale_all_dim = in.real("mscale_all_dim", 0.0F);
  const float derived =
      mscale != 0 && mscale_all_dim != 0
          ? yarn_magnitude(rope.factor, mscale) / yarn_magnitude(rope.factor, mscale_all_dim)
          : yarn_magnitude(rope.factor, 1.0F);
  rope.attention_factor = positive(in, "attention_factor", derived);
}

// The keys inside rope_parameters or rope_scaling.
void read_scaling(ConfigReader& in, RopeConfig& rope) {
  for (const std::string_view kind : {"full_attention", "sliding_attention"})
    if (in.has(kind)) return in.refuse(kind, "sets RoPE for one kind of layer; not supported");
  const std::string_view key = in.has("rope_type") ? "rope_type" : "type";
  const std::string name = in.text(key, "default");
  const std::optional<Scaling> scaling = scaling_named(name);
  if (!scaling) return in.unsupported(key, name, kScalings);
  rope.scaling = *scaling;
  read_base(in, rope);
  if (rope.scaling == Scaling::kNone) return;
  rope.factor = in.real("factor");
  if (rope.factor < 1) in.refuse("factor", "must be at least 1");
  if (rope.scaling == Scaling::kYarn || rope.scaling == Scaling::kLlama3) {
    rope.original_max_position =
        in.integer("original_max_position_embeddings", kPositions, rope.original_max_position);
  }
  if (rope.scaling == Scaling::kYarn) read_yarn(in, rope);
  if (rope.scaling == Scaling::kLlama3) {
    rope.low_freq_factor = positive(in, "low_freq_factor", {});
    rope.high_freq_factor = positive(in, "high_freq_factor", {});
    if (rope.high_freq_factor <= rope.low_freq_factor)
      in.refuse("high_freq_factor", "must be greater than low_freq_factor");
  }
}

std::vector<double> base_frequencies(double theta, int head_dim) {
  std::vector<double> frequencies(static_cast<std::size_t>(head_dim / 2));
  for (std::size_t i = 0; i < frequencies.size(); ++i)
    frequencies[i] = std::pow(theta, -2.0 * static_cast<double>(i) / head_dim);
  return frequencies;
}

double dynamic_theta(const RopeConfig& rope, int head_dim, int length) {
  const double ratio = static_cast<double>(rope.factor) * length / rope.original_max_position;
  const double stretch = ratio - (static_cast<double>(rope.factor) - 1.0);
  return rope.theta * std::pow(stretch, head_dim / (head_dim - 2.0));
}

void scale_yarn(const RopeConfig& rope, int head_dim, std::vector<double>& frequencies) {
  const double theta = rope.theta;
  const auto dimension_of = [&](double rotations) {
    return head_dim * std::log(rope.original_max_position / (rotations * 2.0 * std::numbers::pi)) /
           (2.0 * std::log(theta));
  };
  double low = dimension_of(rope.beta_fast);
  double high = dimension_of(rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, head_dim - 1.0);
  if (low == high) high += 0.001;
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const double interpolated = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] *= (1.0 - interpolated) + interpolated / rope.factor;
  }
}

void scale_llama3(const RopeConfig& rope, std::vector<double>& frequencies) {
  const double positions = rope.original_max_position;
  const double low = rope.low_freq_factor;
  const double high = rope.high_freq_factor;
  for (double& frequency : frequencies) {
    const double wavelength = 2.0 * std::numbers::pi / frequency;
    if (wavelength < positions / high) continue;
    if (wavelength > positions / low) {
      frequency /= rope.factor;
      continue;
    }
    const double smooth = (positions / wavelength - low) / (high - low);
    frequency = (1.0 - smooth) * frequency / rope.factor + smooth * frequency;
  }
}

std::vector<double> frequencies_of(const RopeConfig& rope, int head_dim, int length) {
  const bool stretched =
      rope.scaling == Scaling::kDynamic && length > rope.original_max_position && head_dim > 2;
  std::vector<double> frequencies =
      base_frequencies(stretched ? dynamic_theta(rope, head_dim, length) : rope.theta, head_dim);
  if (rope.scaling == Scaling::kLinear)
    for (double& frequency : frequencies) frequency /= rope.factor;
  if (rope.scaling == Scaling::kYarn) scale_yarn(rope, head_dim, frequencies);
  if (rope.scaling == Scaling::kLlama3) scale_llama3(rope, frequencies);
  return frequencies;
}

}  // namespace

RopeConfig read_rope(ConfigReader& in, int max_position) {
  RopeConfig rope;
  rope.original_max_position = max_position;
  read_base(in, rope);
  const std::string_view key = in.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  if (!in.has(key)) return rope;
  if (!in.at(key).is_object()) {
    in.refuse(key, "must be an object");
    return rope;
  }
  ConfigReader nested = in.nested(key);
  read_scaling(nested, rope);
  in.adopt(nested);
  // As in transformers: the key beside the scaling wins, and dynamic scaling knows neither.
  if (rope.scaling == Scaling::kYarn || rope.scaling == Scaling::kLlama3) {
    rope.original_max_position =
        in.integer("original_max_position_embeddings", kPositions, rope.original_max_position);
  }
  return rope;
}

RopeTables rope_tables(const RopeConfig& rope, int head_dim, int length) {
  const std::vector<double> frequencies = frequencies_of(rope, head_dim, length);
  RopeTables tables;
  const std::size_t size = static_cast<std::size_t>(length) * frequencies.size();
  tables.cos.reserve(size);
  tables.sin.reserve(size);
  for (int position = 0; position < length; ++position) {
    for (const double frequency : frequencies) {
      // Angles are float products, as in transformers: at long positions the rounding is visible.
      const float angle = static_cast<float>(position) * static_cast<float>(frequency);
      tables.cos.push_back(std::cos(angle) * rope.attention_factor);
      tables.sin.push_back(std::sin(angle) * rope.attention_factor);
    }
  }
  return tables;
}

}  // namespace dejavu
