#include "engine/sample/candidates.h"

#include <algorithm>
#include <array>
#include <functional>
#include <numeric>

#include "engine/sample/exp.h"
#include "engine/sample/reduce.h"

namespace dejavu {
namespace {

// The k-th largest of `values`, ties counted one by one. Keeps a buffer of the largest seen and
// raises the bar whenever it is full, so nearly every value costs one comparison.
float kth_largest(std::span<const float> values, std::size_t k, std::vector<float>& buffer) {
  const std::size_t capacity = std::min(values.size(), std::max<std::size_t>(4 * k, 64));
  buffer.clear();
  buffer.reserve(capacity);
  float bar = kMinusInfinity;
  const auto kth = [&] { return buffer.begin() + static_cast<std::ptrdiff_t>(k - 1); };
  for (const float value : values) {
    if (value <= bar) continue;
    buffer.push_back(value);
    if (buffer.size() < capacity || buffer.size() < k + 1) continue;
    std::nth_element(buffer.begin(), kth(), buffer.end(), std::greater<>());
    bar = *kth();
    buffer.resize(k);
  }
  if (buffer.size() < k) return kMinusInfinity;
  std::nth_element(buffer.begin(), kth(), buffer.end(), std::greater<>());
  return *kth();
}

void keep_all(std::span<const float> logits, SampleScratch& scratch) {
  scratch.ids.resize(logits.size());
  std::iota(scratch.ids.begin(), scratch.ids.end(), 0);
  scratch.weights.assign(logits.begin(), logits.end());
}

void keep_top_k(std::span<const float> logits, std::size_t k, SampleScratch& scratch) {
  const float bar = kth_largest(logits, k, scratch.selection);
  scratch.ids.clear();
  scratch.weights.clear();
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] < bar) continue;
    scratch.ids.push_back(static_cast<std::int32_t>(i));
    scratch.weights.push_back(logits[i]);
  }
}

// Top-p without sorting the vocabulary: masses are gathered by distance from the top, and only the
// bucket in which the mass crosses p is sorted. `distance(i)` is candidate i's, in nats.
class TopP {
 public:
  TopP(SampleScratch& scratch, double p) : scratch_(scratch), p_(p) {}

  void apply(const std::vector<float>& distances) {
    // Beyond kMostNats there is no mass to speak of; a hot distribution uses less.
    const float per_nat = kLastBucket / std::clamp(max_sane(distances), kLeastNats, kMostNats);
    scratch_.buckets.resize(distances.size());
    for (std::size_t i = 0; i < distances.size(); ++i) {
      scratch_.buckets[i] =
          static_cast<std::int32_t>(std::min(distances[i] * per_nat, kLastBucket));
    }
    gather_masses();
    const double limit = p_ * std::accumulate(scratch_.masses.begin(), scratch_.masses.end(), 0.0);
    std::int32_t crossing = 0;
    double mass = 0;  // before the crossing bucket
    for (; crossing + 1 < kBuckets; ++crossing) {
      const double next = mass + scratch_.masses[static_cast<std::size_t>(crossing)];
      if (next >= limit) break;
      mass = next;
    }
    cut(distances, crossing, limit - mass);
  }

 private:
  static constexpr std::int32_t kBuckets = 400;
  static constexpr float kLastBucket = kBuckets - 1;
  static constexpr float kLeastNats = 1e-6F;
  static constexpr float kMostNats = 25.0F;

  // Neighbours go to different sums: one that is added to again and again has to be waited for.
  void gather_masses() {
    constexpr std::size_t kWays = 4;
    std::array<std::array<double, kBuckets>, kWays> masses = {};
    for (std::size_t i = 0; i < scratch_.buckets.size(); ++i) {
      masses[i % kWays][static_cast<std::size_t>(scratch_.buckets[i])] +=
          static_cast<double>(scratch_.weights[i]);
    }
    scratch_.masses.assign(kBuckets, 0.0);
    for (const auto& way : masses) {
      for (std::size_t b = 0; b < way.size(); ++b) scratch_.masses[b] += way[b];
    }
  }

  // Drops what lies beyond the crossing bucket and, inside it, all after `room` of mass is used up.
  void cut(const std::vector<float>& distances, std::int32_t crossing, double room) {
    auto& order = scratch_.order;
    auto& weights = scratch_.weights;
    order.clear();
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const std::int32_t at = scratch_.buckets[i];
      if (at == crossing && weights[i] > 0) order.push_back(static_cast<std::int32_t>(i));
      weights[i] = at > crossing ? 0.0F : weights[i];
    }
    std::sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
      const float da = distances[static_cast<std::size_t>(a)];
      const float db = distances[static_cast<std::size_t>(b)];
      return da != db ? da < db : a < b;
    });
    // The most likely token of all is kept however small p is.
    bool keep = crossing == 0;
    for (const std::int32_t i : order) {
      float& weight = weights[static_cast<std::size_t>(i)];
      const auto own = static_cast<double>(weight);
      if (!keep && room <= 0) weight = 0;
      room -= own;
      keep = false;
    }
  }

  SampleScratch& scratch_;
  double p_;
};

}  // namespace

void select_candidates(std::span<const float> logits, float top, const SamplingParams& params,
                       SampleScratch& scratch) {
  if (params.top_k > 0 && static_cast<std::size_t>(params.top_k) < logits.size()) {
    keep_top_k(logits, static_cast<std::size_t>(params.top_k), scratch);
  } else {
    keep_all(logits, scratch);
  }
  auto& weights = scratch.weights;
  auto& distances = scratch.selection;
  distances.resize(weights.size());
  for (std::size_t i = 0; i < weights.size(); ++i) {
    distances[i] = (top - weights[i]) / params.temperature;
  }
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = exp_nonpositive(-distances[i]);
  if (params.min_p > 0) {
    for (float& weight : weights) weight = weight < params.min_p ? 0.0F : weight;
  }
  if (params.top_p < 1) TopP(scratch, static_cast<double>(params.top_p)).apply(distances);
}

std::size_t draw_candidate(double u, SampleScratch& scratch) {
  const std::vector<float>& weights = scratch.weights;
  auto& masses = scratch.masses;
  masses.clear();
  for (std::size_t begin = 0; begin < weights.size(); begin += kBlock) {
    const std::span<const float> block =
        std::span(weights).subspan(begin, std::min(kBlock, weights.size() - begin));
    masses.push_back(block_sum(block, [](float w) { return w; }));
  }
  double target = u * std::accumulate(masses.begin(), masses.end(), 0.0);
  std::size_t block = 0;
  std::size_t last = 0;  // the last block that holds any weight
  for (; block < masses.size(); ++block) {
    if (masses[block] > 0) last = block;
    if (target < masses[block]) break;
    target -= masses[block];
  }
  if (block == masses.size()) block = last;
  std::size_t chosen = block * kBlock;
  const std::size_t end = std::min(chosen + kBlock, weights.size());
  for (std::size_t i = chosen; i < end; ++i) {
    if (weights[i] == 0.0F) continue;
    chosen = i;  // rounding may leave target above the block's last weight
    target -= static_cast<double>(weights[i]);
    if (target < 0) break;
  }
  return chosen;
}

}  // namespace dejavu
