// From one row of logits to one token, by the rules of engine/sample: what select_candidates() and
// draw_candidate() do with one thread a block does here, with the same arithmetic (this is compiled
// without fused multiply-adds). Top-k and top-p find their bar by bisecting its bits: whole passes
// over the row, which stays in L2, instead of a sort.
#pragma once

#include "engine/backend/cuda/block_reduce.cuh"
#include "engine/backend/cuda/sampler.h"
#include "engine/sample/exp.h"
#include "engine/sample/philox.h"
#include "engine/sample/reduce.h"

namespace dejavu::cuda {

// Working memory of one row.
struct RowWork {
  float* logits = nullptr;      // [vocab]: processed
  std::int32_t* ids = nullptr;  // [vocab]: of candidates
  float* weights = nullptr;     // [vocab]: of candidates
  double* sums = nullptr;       // [vocab / 256 + 1]
};

// A sum of weights in (0, 1], exact to 2^-80: integers add up to the same in any order.
struct Mass {
  unsigned long long high;  // in 2^-40
  unsigned long long low;   // in 2^-80

  __device__ static Mass of(float weight) {
    const float scaled = weight * 0x1p40F;
    const float whole = floorf(scaled);
    return {static_cast<unsigned long long>(whole),
            static_cast<unsigned long long>((scaled - whole) * 0x1p40F)};
  }
  __device__ static Mass one() { return {1ULL << 40, 0}; }
  __device__ void add(const Mass& other) {
    high += other.high;
    low += other.low;
  }
  __device__ double value() const {
    return static_cast<double>(high) * 0x1p-40 + static_cast<double>(low) * 0x1p-80;
  }
};
struct ThreeMasses {
  Mass of[3];
};

__device__ inline Mass block_mass(const Mass& own) {
  return block_join(own, [](Mass a, const Mass& b) {
    a.add(b);
    return a;
  });
}

// The smallest key up to which (itself included) the masses of [0, n) reach `target`, two bits a
// pass. entry(i, key, mass) says what element i is.
template <class Entry>
__device__ unsigned find_key(int n, double target, const Entry& entry) {
  unsigned key = 0;
  for (int shift = 30; shift >= 0; shift -= 2) {
    ThreeMasses own = {};
    for (int i = static_cast<int>(threadIdx.x); i < n; i += kRowThreads) {
      unsigned at = 0;
      Mass mass = {};
      entry(i, at, mass);
#pragma unroll
      for (unsigned c = 1; c <= 3; ++c)
        if (at < key + (c << shift)) own.of[c - 1].add(mass);
    }
    const ThreeMasses below = block_join(own, [](ThreeMasses a, const ThreeMasses& b) {
      for (int c = 0; c < 3; ++c) a.of[c].add(b.of[c]);
      return a;
    });
    unsigned step = 0;
    for (unsigned c = 1; c <= 3; ++c)
      if (below.of[c - 1].value() < target) step = c;
    key += step << shift;
  }
  return key;
}

// Larger values have smaller keys.
__device__ inline unsigned descending_key(float x) {
  const unsigned bits = __float_as_uint(x == 0 ? 0.0F : x);
  return (bits & 0x80000000U) != 0 ? bits : ~bits & 0x7fffffffU;
}

__device__ inline void process_logits(const float* raw, int vocab, const DeviceSlot& slot,
                                      float* out) {
  const int first = static_cast<int>(threadIdx.x);
  for (int i = first; i < vocab; i += kRowThreads)
    out[i] = slot.allowed_count == 0 ? sane(raw[i]) : kMinusInfinity;
  __syncthreads();
  for (int i = first; i < slot.allowed_count; i += kRowThreads)
    out[slot.allowed[i]] = sane(raw[slot.allowed[i]]);
  __syncthreads();
  for (int b = first; b < slot.bad_count; b += kRowThreads) {
    const std::int32_t* word = slot.bad_words + slot.bad_starts[b];
    const int prefix = slot.bad_starts[b + 1] - slot.bad_starts[b] - 1;
    bool ends = prefix <= slot.produced;
    for (int i = 0; ends && i < prefix; ++i) ends = slot.tail[i] == word[prefix - 1 - i];
    if (ends) out[word[prefix]] = kMinusInfinity;
  }
  if (slot.produced < slot.min_tokens)
    for (int i = first; i < slot.stop_count; i += kRowThreads) out[slot.stops[i]] = kMinusInfinity;
  __syncthreads();
  if (first == 0)  // a token may be named twice
    for (int i = 0; i < slot.bias_count; ++i) out[slot.biased[i]] += slot.biases[i];
  __syncthreads();
  for (int i = first; i < vocab && slot.seen != nullptr; i += kRowThreads) {
    const int seen = slot.seen[i];
    if (seen == 0) continue;
    float logit = out[i];
    logit = logit > 0 ? logit / slot.repetition_penalty : logit * slot.repetition_penalty;
    if (seen > 1) {
      logit -= slot.frequency_penalty * static_cast<float>(seen - 1);
      logit -= slot.presence_penalty;
    }
    out[i] = sane(logit);
  }
  __syncthreads();
}

// Candidates in id order: the top k, ties with the k-th included. Returns how many.
__device__ inline int keep_candidates(int vocab, const DeviceSlot& slot, const RowWork& work) {
  if (slot.top_k <= 0 || slot.top_k >= vocab) {
    for (int i = static_cast<int>(threadIdx.x); i < vocab; i += kRowThreads) {
      work.ids[i] = i;
      work.weights[i] = work.logits[i];
    }
    __syncthreads();
    return vocab;
  }
  const unsigned bar = find_key(vocab, slot.top_k, [&](int i, unsigned& key, Mass& mass) {
    key = descending_key(work.logits[i]);
    mass = Mass::one();
  });
  int count = 0;
  for (int begin = 0; begin < vocab; begin += kRowThreads) {
    const int i = begin + static_cast<int>(threadIdx.x);
    const bool keep = i < vocab && descending_key(work.logits[i]) <= bar;
    const Scan kept = block_flags(keep);
    if (keep) {
      work.ids[count + kept.before] = i;
      work.weights[count + kept.before] = work.logits[i];
    }
    count += kept.total;
  }
  __syncthreads();
  return count;
}

__device__ inline float distance_of(float logit, float top, float temperature) {
  return (top - logit) / temperature;
}

// Keeps candidates in order of distance, ties by id, until their mass reaches top_p of all of it.
__device__ inline void keep_top_p(int count, float top, const DeviceSlot& slot,
                                  const RowWork& work) {
  const auto entry = [&](int i, unsigned& key, Mass& mass) {
    key = __float_as_uint(distance_of(work.logits[work.ids[i]], top, slot.temperature) + 0.0F);
    mass = Mass::of(work.weights[i]);
  };
  Mass own = {};
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kRowThreads)
    own.add(Mass::of(work.weights[i]));
  const double limit = static_cast<double>(slot.top_p) * block_mass(own).value();
  const unsigned bar = find_key(count, limit, entry);
  Mass before = {};
  int ties = 0;
  float weight = 0;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kRowThreads) {
    unsigned key = 0;
    Mass mass = {};
    entry(i, key, mass);
    if (key < bar) before.add(mass);
    if (key == bar) {
      ++ties;
      weight = work.weights[i];
    }
  }
  double room = limit - block_mass(before).value();
  ties = block_total(ties);
  weight = block_join(weight, [](float a, float b) { return a > b ? a : b; });
  int kept = 0;  // of the ties
  for (; kept < ties && room > 0 && weight > 0; ++kept) room -= static_cast<double>(weight);
  int passed = 0;
  for (int begin = 0; begin < count; begin += kRowThreads) {
    const int i = begin + static_cast<int>(threadIdx.x);
    unsigned key = 0;
    Mass mass = {};
    if (i < count) entry(i, key, mass);
    const bool tie = i < count && key == bar;
    int place = 0;
    if (kept < ties) {
      const Scan flags = block_flags(tie);
      place = passed + flags.before;
      passed += flags.total;
    }
    if (i < count && (key > bar || (tie && place >= kept))) work.weights[i] = 0;
  }
  __syncthreads();
}

// The candidate at the share u of the weights, in id order; as draw_candidate().
__device__ inline int draw(int count, double u, const RowWork& work) {
  constexpr int kBlock = 256;
  __shared__ int chosen;
  lane_block_sums(
      count, [&](int i) { return work.weights[i]; }, work.sums);
  if (threadIdx.x == 0) {
    const int blocks = (count + kBlock - 1) / kBlock;
    double target = 0;
    for (int b = 0; b < blocks; ++b) target += work.sums[b];
    target *= u;
    int block = 0;
    int last = 0;
    for (; block < blocks; ++block) {
      if (work.sums[block] > 0) last = block;
      if (target < work.sums[block]) break;
      target -= work.sums[block];
    }
    if (block == blocks) block = last;
    chosen = block * kBlock;
    const int end = chosen + kBlock < count ? chosen + kBlock : count;
    for (int i = chosen; i < end; ++i) {
      if (work.weights[i] == 0.0F) continue;
      chosen = i;
      target -= static_cast<double>(work.weights[i]);
      if (target < 0) break;
    }
  }
  __syncthreads();
  return chosen;
}

__device__ inline std::int32_t choose_token(const float* raw, int vocab, const DeviceSlot& slot,
                                            const RowWork& work) {
  constexpr float kGreedyTemperature = 1e-5F;
  process_logits(raw, vocab, slot, work.logits);
  const Best best = block_best(vocab, [&](int i) { return sane(work.logits[i]); });
  if (best.value == kMinusInfinity) {
    if (slot.end_token >= 0) return slot.end_token;
    return block_best(vocab, [&](int i) { return sane(raw[i]); }).index;
  }
  if (slot.temperature < kGreedyTemperature) return best.index;
  const int count = keep_candidates(vocab, slot, work);
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kRowThreads) {
    const float weight =
        exp_nonpositive(-distance_of(work.weights[i], best.value, slot.temperature));
    work.weights[i] = slot.min_p > 0 && weight < slot.min_p ? 0.0F : weight;
  }
  __syncthreads();
  if (slot.top_p < 1) keep_top_p(count, best.value, slot, work);
  const double u = uniform_draw(slot.seed, static_cast<std::uint64_t>(slot.produced));
  return work.ids[draw(count, u, work)];
}

// As score_row().
__device__ inline void score_token(const float* raw, int vocab, std::int32_t token,
                                   int alternatives, double* sums, SampleOutput& out) {
  const auto value_of = [&](int i) { return sane(raw[i]); };
  const float top = block_best(vocab, value_of).value;
  const bool empty = top == kMinusInfinity;
  double sum = vocab;
  if (!empty) {
    lane_block_sums(
        vocab, [&](int i) { return exp_nonpositive(sane(raw[i]) - top); }, sums);
    sum = 0;
    for (int b = 0; b < (vocab + 255) / 256; ++b) sum += sums[b];
  }
  const double log_sum = log(sum);
  const auto logprob = [&](float value) {
    if (empty) return static_cast<float>(-log_sum);
    const double exact = static_cast<double>(value) - static_cast<double>(top) - log_sum;
    const auto lowest = static_cast<double>(std::numeric_limits<float>::lowest());
    return static_cast<float>(exact > lowest ? exact : lowest);
  };
  const float value = sane(raw[token]);
  int above = 0;
  for (int i = static_cast<int>(threadIdx.x); i < vocab; i += kRowThreads) {
    const float other = sane(raw[i]);
    above += other > value || (other == value && i < token) ? 1 : 0;
  }
  above = block_total(above);
  const bool writes = threadIdx.x == 0;
  if (writes) {
    out.logprob = logprob(value);
    out.rank = above + 1;
  }
  int count = alternatives < kMaxLogprobs ? alternatives : kMaxLogprobs;
  count = count < vocab ? count : vocab;
  Best last{INFINITY, -1};
  for (int i = 0; i < count; ++i) {
    last = block_best(vocab, value_of, [&](const Best& here) { return better(last, here); });
    if (!writes) continue;
    out.top_tokens[i] = last.index;
    out.top_logprobs[i] = logprob(last.value);
  }
  if (writes) out.top_count = count > 0 ? count : 0;
}

}  // namespace dejavu::cuda
