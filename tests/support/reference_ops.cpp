#include "tests/support/reference_ops.h"

#include <algorithm>
#include <cmath>

namespace dejavu::reference {
namespace {

std::vector<double> row_of(const ConstMatrix& m, std::int64_t r) {
  std::vector<double> row(static_cast<std::size_t>(m.cols));
  for (std::size_t i = 0; i < row.size(); ++i) row[i] = load_element(m.row(r), m.dtype, i);
  return row;
}

// Each row is converted once, however many others it meets.
std::vector<std::vector<double>> rows_of(const ConstMatrix& m) {
  std::vector<std::vector<double>> rows;
  for (std::int64_t r = 0; r < m.rows; ++r) rows.push_back(row_of(m, r));
  return rows;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

double or_zero(const float* values, std::int64_t i) { return values == nullptr ? 0.0 : values[i]; }

// Rotates every head of `row` in place (Hugging Face Llama: element i pairs with i + D/2).
void rotate_row(const StoreKvArgs& args, std::int64_t t, std::vector<double>& row) {
  if (args.cos == nullptr) return;
  const std::size_t half = static_cast<std::size_t>(args.cache.head_dim) / 2;
  const std::size_t table = static_cast<std::size_t>(args.positions[t]) * half;
  for (std::size_t head = 0; head + 2 * half <= row.size(); head += 2 * half) {
    for (std::size_t i = 0; i < half; ++i) {
      const double c = args.cos[table + i];
      const double s = args.sin[table + i];
      const double x = row[head + i];
      const double y = row[head + half + i];
      row[head + i] = x * c - y * s;
      row[head + half + i] = y * c + x * s;
    }
  }
}

}  // namespace

std::vector<double> embed(const EmbedArgs& args) {
  std::vector<double> out;
  for (std::int64_t t = 0; t < args.out.rows; ++t) {
    const std::int32_t id = args.ids[t] < 0 ? args.last_tokens[~args.ids[t]] : args.ids[t];
    std::vector<double> row = row_of(args.token_table, id);
    if (args.position_table.data != nullptr) {
      const auto place = row_of(args.position_table, args.positions[t] + args.position_offset);
      for (std::size_t i = 0; i < row.size(); ++i) row[i] += place[i];
    }
    out.insert(out.end(), row.begin(), row.end());
  }
  return out;
}

std::vector<double> norm(const NormArgs& args) {
  std::vector<double> out;
  for (std::int64_t t = 0; t < args.x.rows; ++t) {
    const std::vector<double> x = row_of(args.x, t);
    const auto d = static_cast<double>(x.size());
    double mean = 0;
    if (args.kind == NormKind::kLayerNorm) {
      for (const double v : x) mean += v / d;
    }
    double variance = 0;
    for (const double v : x) variance += (v - mean) * (v - mean) / d;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double weight = args.weight == nullptr ? 1.0 : args.weight[i];
      out.push_back((x[i] - mean) / std::sqrt(variance + args.epsilon) * weight +
                    or_zero(args.bias, static_cast<std::int64_t>(i)));
    }
  }
  return out;
}

std::vector<double> linear(const LinearArgs& args) {
  const auto tokens = rows_of(args.x);
  std::vector<double> out(tokens.size() * static_cast<std::size_t>(args.w.rows));
  for (std::int64_t o = 0; o < args.w.rows; ++o) {
    const std::vector<double> w = row_of(args.w, o);
    auto to = static_cast<std::size_t>(o);
    for (const std::vector<double>& x : tokens) {
      out[to] = dot(x, w) + or_zero(args.bias, o);
      to += static_cast<std::size_t>(args.w.rows);
    }
  }
  return out;
}

std::vector<double> project(const ProjectArgs& args) {
  const auto tokens = rows_of(args.x);
  const auto cols = static_cast<std::size_t>(args.w.cols);
  std::vector<double> out;
  for (std::int64_t t = 0; t < args.x.rows; ++t) {
    std::vector<double> y(cols);
    if (args.accumulate) y = row_of(args.y, t);
    out.insert(out.end(), y.begin(), y.end());
  }
  for (std::int64_t n = 0; n < args.w.rows; ++n) {
    const std::vector<double> w = row_of(args.w, n);
    for (std::size_t t = 0; t < tokens.size(); ++t) {
      const double x = tokens[t][static_cast<std::size_t>(n)];
      for (std::size_t o = 0; o < cols; ++o) out[t * cols + o] += x * w[o];
    }
  }
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] += or_zero(args.bias, static_cast<std::int64_t>(i % cols));
  return out;
}

double activate(Activation kind, double x, double threshold) {
  switch (kind) {
    case Activation::kRelu:
      return std::max(x, 0.0);
    case Activation::kRelu2:
      return x > 0 ? x * x : 0.0;
    case Activation::kSilu:
      return x / (1.0 + std::exp(-x));
    case Activation::kGelu:
      return 0.5 * x * (1.0 + std::erf(x / std::sqrt(2.0)));
    case Activation::kGeluTanh:
      return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kFatRelu:
      return x > threshold ? x : 0.0;
  }
  return 0;
}

std::vector<double> mlp_up(const MlpUpArgs& args) {
  const auto tokens = rows_of(args.x);
  std::vector<double> out(tokens.size() * static_cast<std::size_t>(args.up.rows));
  for (std::int64_t n = 0; n < args.up.rows; ++n) {
    const bool gated = args.gate.data != nullptr;
    const std::vector<double> w = row_of(args.up, n);
    const std::vector<double> gate = gated ? row_of(args.gate, n) : std::vector<double>{};
    auto to = static_cast<std::size_t>(n);
    for (const std::vector<double>& x : tokens) {
      const double up = dot(x, w) + or_zero(args.up_bias, n);
      const double first = gated ? dot(x, gate) + or_zero(args.gate_bias, n) : up;
      const double active = activate(args.activation, first, args.threshold);
      out[to] = gated ? active * up : active;
      to += static_cast<std::size_t>(args.up.rows);
    }
  }
  return out;
}

RotatedHeads rotate(const StoreKvArgs& args) {
  RotatedHeads out;
  for (std::int64_t t = 0; t < args.k.rows; ++t) {
    std::vector<double> q = row_of(args.q, t);
    std::vector<double> k = row_of(args.k, t);
    rotate_row(args, t, q);
    rotate_row(args, t, k);
    out.q.insert(out.q.end(), q.begin(), q.end());
    out.k.insert(out.k.end(), k.begin(), k.end());
  }
  return out;
}

std::size_t kv_index(const KvView& cache, int slot, int kv_head) {
  const int page = slot / kKvPageTokens;
  const int row = (page * cache.kv_heads + kv_head) * kKvPageTokens + slot % kKvPageTokens;
  return static_cast<std::size_t>(row) * static_cast<std::size_t>(cache.head_dim);
}

std::vector<double> attention(const AttentionArgs& args) {
  const auto dim = static_cast<std::size_t>(args.cache.head_dim);
  const auto heads = static_cast<int>(args.q.cols / args.cache.head_dim);
  std::vector<double> out(static_cast<std::size_t>(args.q.rows * args.q.cols));
  for (int s = 0; s < args.sequences; ++s) {
    const std::int32_t* pages =
        args.page_table + static_cast<std::int64_t>(s) * args.page_table_stride;
    for (int t = args.query_start[s]; t < args.query_start[s + 1]; ++t) {
      const int position = args.context_length[s] - (args.query_start[s + 1] - t);
      const int begin = args.window > 0 ? std::max(0, position - args.window + 1) : 0;
      const std::vector<double> q = row_of(args.q, t);
      for (int h = 0; h < heads; ++h) {
        const std::size_t head = static_cast<std::size_t>(h) * dim;
        const auto base = [&](int p) {
          const int slot = pages[p / kKvPageTokens] * kKvPageTokens + p % kKvPageTokens;
          return kv_index(args.cache, slot, h / (heads / args.cache.kv_heads));
        };
        std::vector<double> score;
        for (int p = begin; p <= position; ++p) {
          double sum = 0;
          for (std::size_t i = 0; i < dim; ++i) {
            sum += q[head + i] * load_element(args.cache.k, args.cache.dtype, base(p) + i);
          }
          score.push_back(sum * args.scale);
        }
        const double top = *std::max_element(score.begin(), score.end());
        double total = 0;
        for (double& v : score) total += v = std::exp(v - top);
        for (int p = begin; p <= position; ++p) {
          const double share = score[static_cast<std::size_t>(p - begin)] / total;
          for (std::size_t i = 0; i < dim; ++i) {
            out[static_cast<std::size_t>(t * args.q.cols) + head + i] +=
                share * load_element(args.cache.v, args.cache.dtype, base(p) + i);
          }
        }
      }
    }
  }
  return out;
}

}  // namespace dejavu::reference
