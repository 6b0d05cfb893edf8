// The CPU backend in plain loops: every op, one thread, no instruction set above the baseline.
#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "engine/backend/factory.h"

namespace dejavu {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr int kProjectRanges = 16;

std::vector<float> load_row(const ConstMatrix& m, std::int64_t r) {
  std::vector<float> row(static_cast<std::size_t>(m.cols));
  for (std::size_t i = 0; i < row.size(); ++i) row[i] = load_element(m.row(r), m.dtype, i);
  return row;
}

void store_row(const Matrix& m, std::int64_t r, const std::vector<float>& row) {
  for (std::size_t i = 0; i < row.size(); ++i) store_element(m.row(r), m.dtype, i, row[i]);
}

float dot(const std::vector<float>& a, const void* b, DType dtype) {
  float sum[8] = {};
  std::size_t i = 0;
  if (dtype == DType::kF32) {
    const auto* p = static_cast<const float*>(b);
    for (; i + 8 <= a.size(); i += 8)
      for (std::size_t j = 0; j < 8; ++j) sum[j] += a[i + j] * p[i + j];
  } else if (dtype == DType::kBF16) {
    const auto* p = static_cast<const std::uint16_t*>(b);
    for (; i + 8 <= a.size(); i += 8)
      for (std::size_t j = 0; j < 8; ++j) sum[j] += a[i + j] * bf16_to_float(p[i + j]);
  }
  for (; i < a.size(); ++i) sum[i % 8] += a[i] * load_element(b, dtype, i);
  return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

float activate(Activation kind, float x, float threshold) {
  switch (kind) {
    case Activation::kRelu:
      return x > 0 ? x : 0;
    case Activation::kRelu2:
      return x > 0 ? x * x : 0;
    case Activation::kSilu:
      return x / (1.0F + std::exp(-x));
    case Activation::kGelu:
      return 0.5F * x * (1.0F + std::erf(x * 0.70710678F));
    case Activation::kGeluTanh:
      return 0.5F * x * (1.0F + std::tanh(0.79788456F * (x + 0.044715F * x * x * x)));
    case Activation::kFatRelu:
      return x > threshold ? x : 0;
  }
  return 0;
}

class CpuBackend final : public Backend {
 public:
  CpuBackend() {
    info_.device = "cpu";
    info_.description = "CPU baseline, 1 thread";
    info_.memory_bytes = std::size_t{4} << 30;
    info_.memory_source = "assumed";
    info_.native_bf16 = true;
  }

  const BackendInfo& info() const override { return info_; }

  Result<Buffer> allocate(std::size_t bytes) override {
    const std::size_t rounded =
        (std::max<std::size_t>(bytes, 1) + kAlignment - 1) & ~(kAlignment - 1);
    void* data = std::aligned_alloc(kAlignment, rounded);
    if (data == nullptr) {
      return fail(ErrorCode::kResourceExhausted,
                  "cannot allocate " + std::to_string(bytes) + " bytes of memory");
    }
    std::memset(data, 0, rounded);
    return Buffer(data, bytes, [](void* p, std::size_t) { std::free(p); });
  }
  void upload(void* device, const void* host, std::size_t bytes, StreamId) override {
    std::memcpy(device, host, bytes);
  }
  void download(void* host, const void* device, std::size_t bytes, StreamId) override {
    std::memcpy(host, device, bytes);
  }
  void order(StreamId, StreamId) override {}
  Status synchronize(StreamId) override { return {}; }

  void embed(const EmbedArgs& a, StreamId) override {
    for (std::int64_t t = 0; t < a.out.rows; ++t) {
      const std::int32_t id = a.ids[t] < 0 ? a.last_tokens[~a.ids[t]] : a.ids[t];
      std::vector<float> row = load_row(a.token_table, id);
      if (a.position_table.data != nullptr) {
        const std::vector<float> p = load_row(a.position_table, a.positions[t] + a.position_offset);
        for (std::size_t i = 0; i < row.size(); ++i) row[i] += p[i];
      }
      store_row(a.out, t, row);
    }
  }

  void norm(const NormArgs& a, StreamId) override {
    const auto d = static_cast<double>(a.x.cols);
    for (std::int64_t t = 0; t < a.x.rows; ++t) {
      std::vector<float> row = load_row(a.x, t);
      double mean = 0;
      if (a.kind == NormKind::kLayerNorm) {
        for (const float v : row) mean += v;
        mean /= d;
      }
      double square = 0;
      for (const float v : row) square += (v - mean) * (v - mean);
      const auto inverse = static_cast<float>(1.0 / std::sqrt(square / d + a.epsilon));
      for (std::size_t i = 0; i < row.size(); ++i) {
        const float weight = a.weight == nullptr ? 1.0F : a.weight[i];
        const float bias = a.bias == nullptr ? 0.0F : a.bias[i];
        row[i] = (row[i] - static_cast<float>(mean)) * inverse * weight + bias;
      }
      store_row(a.out, t, row);
    }
  }

  void linear(const LinearArgs& a, StreamId) override {
    for (std::int64_t t = 0; t < a.x.rows; ++t) {
      const std::vector<float> x = load_row(a.x, t);
      for (std::int64_t o = 0; o < a.w.rows; ++o) {
        const float bias = a.bias == nullptr ? 0.0F : a.bias[o];
        store_element(a.y.row(t), a.y.dtype, static_cast<std::size_t>(o),
                      dot(x, a.w.row(o), a.w.dtype) + bias);
      }
    }
  }

  void project(const ProjectArgs& a, StreamId) override {
    const std::int64_t range = (a.x.cols + kProjectRanges - 1) / kProjectRanges;
    for (std::int64_t t = 0; t < a.x.rows; ++t) {
      const std::vector<float> x = load_row(a.x, t);
      std::vector<float> total(static_cast<std::size_t>(a.w.cols));
      for (std::int64_t begin = 0; begin < a.x.cols; begin += range) {
        std::vector<float> partial(total.size());
        for (std::int64_t n = begin; n < std::min(a.x.cols, begin + range); ++n) {
          const float scale = x[static_cast<std::size_t>(n)];
          if (scale == 0) continue;
          const std::vector<float> w = load_row(a.w, n);
          for (std::size_t o = 0; o < w.size(); ++o) partial[o] += scale * w[o];
        }
        for (std::size_t o = 0; o < total.size(); ++o) total[o] += partial[o];
      }
      auto* y = static_cast<float*>(a.y.row(t));
      for (std::size_t o = 0; o < total.size(); ++o) {
        const float sum = total[o] + (a.bias == nullptr ? 0.0F : a.bias[o]);
        y[o] = a.accumulate ? y[o] + sum : sum;
      }
    }
  }

  void mlp_up(const MlpUpArgs& a, StreamId) override {
    const bool gated = a.gate.data != nullptr;
    for (std::int64_t t = 0; t < a.x.rows; ++t) {
      const std::vector<float> x = load_row(a.x, t);
      for (std::int64_t n = 0; n < a.up.rows; ++n) {
        const float up =
            dot(x, a.up.row(n), a.up.dtype) + (a.up_bias == nullptr ? 0.0F : a.up_bias[n]);
        float value = up;
        if (gated) {
          value = dot(x, a.gate.row(n), a.gate.dtype) +
                  (a.gate_bias == nullptr ? 0.0F : a.gate_bias[n]);
        }
        value = activate(a.activation, value, a.threshold);
        if (gated) value *= up;
        store_element(a.h.row(t), a.h.dtype, static_cast<std::size_t>(n), value);
      }
    }
  }

  void store_kv(const StoreKvArgs& a, StreamId) override {
    const int dim = a.cache.head_dim;
    const std::int64_t heads = a.q.cols / dim;
    for (std::int64_t t = 0; t < a.k.rows; ++t) {
      auto* q = static_cast<float*>(a.q.row(t));
      for (std::int64_t h = 0; h < heads; ++h) rotate(a, a.positions[t], q + h * dim);
      std::vector<float> k = load_row(a.k, t);
      const std::vector<float> v = load_row(a.v, t);
      for (int g = 0; g < a.cache.kv_heads; ++g) {
        rotate(a, a.positions[t], k.data() + g * dim);
        const std::size_t base = kv_index(a.cache, a.slots[t], g);
        for (int i = 0; i < dim; ++i) {
          const auto at = static_cast<std::size_t>(g * dim + i);
          store_element(a.cache.k, a.cache.dtype, base + static_cast<std::size_t>(i), k[at]);
          store_element(a.cache.v, a.cache.dtype, base + static_cast<std::size_t>(i), v[at]);
        }
      }
    }
  }

  void attention(const AttentionArgs& a, StreamId) override {
    const int dim = a.cache.head_dim;
    const auto heads = static_cast<int>(a.q.cols / dim);
    for (int s = 0; s < a.sequences; ++s) {
      const int first = a.query_start[s];
      const int last = a.query_start[s + 1];
      for (int t = first; t < last; ++t) {
        const int position = a.context_length[s] - (last - t);
        for (int h = 0; h < heads; ++h) attend(a, s, t, position, h);
      }
    }
  }

  void set_sampler_slot(const SamplerSlotArgs&, StreamId) override {}
  void sample(const SampleArgs&, StreamId) override {}

  double measure_read_bandwidth(std::size_t) override { return 0; }

 private:
  static std::size_t kv_index(const KvView& cache, int slot, int kv_head) {
    const auto page = static_cast<std::size_t>(slot / kKvPageTokens);
    const auto token = static_cast<std::size_t>(slot % kKvPageTokens);
    const auto g = static_cast<std::size_t>(kv_head);
    return ((page * static_cast<std::size_t>(cache.kv_heads) + g) * kKvPageTokens + token) *
           static_cast<std::size_t>(cache.head_dim);
  }

  static void rotate(const StoreKvArgs& a, std::int32_t position, float* head) {
    if (a.cos == nullptr) return;
    const int half = a.cache.head_dim / 2;
    for (int i = 0; i < half; ++i) {
      const float c = a.cos[static_cast<std::int64_t>(position) * half + i];
      const float s = a.sin[static_cast<std::int64_t>(position) * half + i];
      const float x = head[i];
      const float y = head[i + half];
      head[i] = x * c - y * s;
      head[i + half] = y * c + x * s;
    }
  }

  static void attend(const AttentionArgs& a, int s, int t, int position, int h) {
    const int dim = a.cache.head_dim;
    const auto heads = static_cast<int>(a.q.cols / dim);
    const int g = h / (heads / a.cache.kv_heads);
    const int begin = a.window > 0 ? std::max(0, position - a.window + 1) : 0;
    const std::int32_t* pages = a.page_table + static_cast<std::int64_t>(s) * a.page_table_stride;
    const auto base = [&](int p) {
      return kv_index(a.cache, pages[p / kKvPageTokens] * kKvPageTokens + p % kKvPageTokens, g);
    };
    const float* q = static_cast<const float*>(a.q.row(t)) + static_cast<std::int64_t>(h) * dim;
    std::vector<float> score(static_cast<std::size_t>(position - begin + 1));
    for (int p = begin; p <= position; ++p) {
      float sum = 0;
      for (int i = 0; i < dim; ++i) {
        sum += q[i] * load_element(a.cache.k, a.cache.dtype, base(p) + static_cast<std::size_t>(i));
      }
      score[static_cast<std::size_t>(p - begin)] = sum * a.scale;
    }
    const float top = *std::max_element(score.begin(), score.end());
    float total = 0;
    std::vector<float> out(static_cast<std::size_t>(dim));
    for (int p = begin; p <= position; ++p) {
      const float weight = std::exp(score[static_cast<std::size_t>(p - begin)] - top);
      total += weight;
      for (std::size_t i = 0; i < out.size(); ++i) {
        out[i] += weight * load_element(a.cache.v, a.cache.dtype, base(p) + i);
      }
    }
    for (std::size_t i = 0; i < out.size(); ++i) {
      store_element(a.out.row(t), a.out.dtype, static_cast<std::size_t>(h * dim) + i,
                    out[i] / total);
    }
  }

  BackendInfo info_;
};

}  // namespace

Result<std::unique_ptr<Backend>> make_cpu_backend(const BackendOptions& /*options*/) {
  return std::make_unique<CpuBackend>();
}

}  // namespace dejavu
