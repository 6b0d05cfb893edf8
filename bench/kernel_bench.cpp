// The CPU backend's ops on the shapes of OPT-1.3B in BF16 with random weights, without a model or
// an engine: decode at batch 1 and 16 against the read bandwidth sampled between steps, prefill of
// 512 tokens in TFLOP/s, and where the time of each goes.
//
//   kernel_bench [ISA [THREADS [ROUNDS]]]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "bench/median.h"
#include "engine/backend/factory.h"

namespace dejavu {
namespace {

constexpr std::int64_t kWidth = 2048;
constexpr std::int64_t kFfn = 8192;
constexpr int kHeads = 32;
constexpr int kDim = 64;
constexpr int kLayers = 24;
constexpr std::int64_t kVocab = 50272;
constexpr int kMaxTokens = 512;
constexpr int kPages = 512;
constexpr std::size_t kProbeBytes = std::size_t{2} << 30;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class Bench {
 public:
  explicit Bench(Backend& backend) : backend_(backend) {
    std::uint64_t state = 1;
    for (int l = 0; l < kLayers; ++l) {
      layers_.push_back({weights(3 * kWidth * kWidth, state), weights(kWidth * kWidth, state),
                         weights(kFfn * kWidth, state), weights(kFfn * kWidth, state),
                         floats(kPages * 16 * kWidth / 2), floats(kPages * 16 * kWidth / 2)});
    }
    head_ = weights(kVocab * kWidth, state);
    residual_ = floats(kMaxTokens * kWidth);
    // Not zeros, whose rows of a projection would not be read.
    for (int i = 0; i < kMaxTokens * kWidth; ++i)
      residual_.as<float>()[i] = static_cast<float>(i * 37 % 101 - 50);
    normed_ = floats(kMaxTokens * kWidth);
    qkv_ = floats(kMaxTokens * 3 * kWidth);
    attended_ = floats(kMaxTokens * kWidth);
    hidden_ = floats(kMaxTokens * kFfn);
    logits_ = floats(kMaxTokens * kVocab);
    for (int p = 0; p < kPages; ++p) pages_.push_back(p);
  }

  static double weight_bytes() {
    return 2.0 * (kLayers * (4.0 * kWidth * kWidth + 2.0 * kFfn * kWidth) + kVocab * kWidth);
  }
  // Multiplications and additions of a prefill, logits of the last token only.
  static double prefill_flops(double tokens) {
    const double matrices = 2.0 * tokens * kLayers * (4.0 * kWidth * kWidth + 2.0 * kFfn * kWidth);
    return matrices + kLayers * 2.0 * tokens * tokens * kWidth + 2.0 * kVocab * kWidth;
  }

  // One step: `sequences` sequences of `queries` tokens each, the last at `context`. Seconds.
  double step(int sequences, int queries, int context) {
    seconds_.clear();
    const double start = now();
    for (const Layer& layer : layers_) run_layer(layer, sequences, queries, context);
    const std::int64_t rows = sequences;
    timed("logits", [&] {
      backend_.linear({bf16(normed_, rows, kWidth), bf16(head_, kVocab, kWidth), nullptr,
                       f32(logits_, rows, kVocab)},
                      StreamId::kMain);
    });
    const double total = now() - start;
    for (const auto& [name, seconds] : seconds_) history_[name].push_back(seconds);
    return total;
  }

  // Median milliseconds a step spends in each op since the last call.
  void print_ops() {
    std::printf("   ");
    for (const auto& [name, seconds] : history_) {
      std::printf(" %s %.2f", name.c_str(), 1e3 * median(seconds));
    }
    std::printf(" ms\n");
    history_.clear();
  }

 private:
  struct Layer {
    Buffer qkv;
    Buffer out;
    Buffer up;
    Buffer down;
    Buffer k;
    Buffer v;
  };

  Buffer floats(std::int64_t count) {
    auto block = backend_.allocate(static_cast<std::size_t>(count) * 4);
    if (!block) {
      std::fprintf(stderr, "%s\n", block.error().message.c_str());
      std::quick_exit(1);
    }
    return std::move(*block);
  }
  Buffer weights(std::int64_t count, std::uint64_t& state) {
    Buffer block = floats(count / 2);
    auto* values = block.as<std::uint16_t>();
    for (std::int64_t i = 0; i < count; ++i) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      const auto sign_and_mantissa = static_cast<std::uint16_t>((state >> 33) & 0x807fU);
      values[i] = static_cast<std::uint16_t>(sign_and_mantissa | 0x3c00U);  // about 0.01
    }
    return block;
  }

  static Matrix view(const Buffer& b, DType dtype, std::int64_t rows, std::int64_t cols) {
    return {b.data(), dtype, rows, cols, cols};
  }
  static Matrix f32(const Buffer& b, std::int64_t rows, std::int64_t cols) {
    return view(b, DType::kF32, rows, cols);
  }
  static Matrix bf16(const Buffer& b, std::int64_t rows, std::int64_t cols) {
    return view(b, DType::kBF16, rows, cols);
  }
  static Matrix columns(Matrix m, std::int64_t first, std::int64_t count) {
    m.data =
        static_cast<std::byte*>(m.data) + static_cast<std::size_t>(first) * dtype_size(m.dtype);
    m.cols = count;
    return m;
  }

  template <class Op>
  void timed(const char* name, const Op& op) {
    const double start = now();
    op();
    seconds_[name] += now() - start;
  }

  void run_layer(const Layer& layer, int sequences, int queries, int context) {
    const std::int64_t tokens = static_cast<std::int64_t>(sequences) * queries;
    const Matrix qkv = f32(qkv_, tokens, 3 * kWidth);
    const KvView cache{layer.k.data(), layer.v.data(), DType::kBF16, kPages, kHeads, kDim};
    std::vector<std::int32_t> positions;
    std::vector<std::int32_t> slots;
    std::vector<std::int32_t> starts = {0};
    const int pages = kPages / sequences;
    for (int s = 0; s < sequences; ++s) {
      for (int q = 0; q < queries; ++q) {
        positions.push_back(context - queries + q);
        slots.push_back(s * pages * kKvPageTokens + positions.back());
      }
      starts.push_back((s + 1) * queries);
    }
    const std::vector<std::int32_t> contexts(static_cast<std::size_t>(sequences), context);
    const auto norm = [&] {
      timed("norm", [&] {
        backend_.norm({NormKind::kLayerNorm, f32(residual_, tokens, kWidth), nullptr, nullptr,
                       1e-5F, bf16(normed_, tokens, kWidth)},
                      StreamId::kMain);
      });
    };
    norm();
    timed("qkv", [&] {
      backend_.linear(
          {bf16(normed_, tokens, kWidth), bf16(layer.qkv, 3 * kWidth, kWidth), nullptr, qkv},
          StreamId::kMain);
    });
    timed("store_kv", [&] {
      backend_.store_kv(
          {columns(qkv, 0, kWidth), columns(qkv, kWidth, kWidth), columns(qkv, 2 * kWidth, kWidth),
           positions.data(), slots.data(), nullptr, nullptr, cache},
          StreamId::kMain);
    });
    timed("attention", [&] {
      AttentionArgs args;
      args.q = columns(qkv, 0, kWidth);
      args.cache = cache;
      args.sequences = sequences;
      args.query_start = starts.data();
      args.context_length = contexts.data();
      args.page_table = pages_.data();
      args.page_table_stride = pages;
      args.scale = 0.125F;
      args.out = bf16(attended_, tokens, kWidth);
      backend_.attention(args, StreamId::kMain);
    });
    timed("out_proj", [&] {
      backend_.project({bf16(attended_, tokens, kWidth), bf16(layer.out, kWidth, kWidth), nullptr,
                        f32(residual_, tokens, kWidth), true},
                       StreamId::kMain);
    });
    norm();
    timed("mlp_up", [&] {
      MlpUpArgs args;
      args.x = bf16(normed_, tokens, kWidth);
      args.up = bf16(layer.up, kFfn, kWidth);
      args.h = bf16(hidden_, tokens, kFfn);
      backend_.mlp_up(args, StreamId::kMain);
    });
    timed("mlp_down", [&] {
      backend_.project({bf16(hidden_, tokens, kFfn), bf16(layer.down, kFfn, kWidth), nullptr,
                        f32(residual_, tokens, kWidth), true},
                       StreamId::kMain);
    });
  }

  Backend& backend_;
  std::vector<Layer> layers_;
  Buffer head_;
  Buffer residual_;
  Buffer normed_;
  Buffer qkv_;
  Buffer attended_;
  Buffer hidden_;
  Buffer logits_;
  std::vector<std::int32_t> pages_;
  std::map<std::string, double> seconds_;  // of this step
  std::map<std::string, std::vector<double>> history_;
};

int run(const BackendOptions& options, int rounds) {
  auto backend = make_cpu_backend(options);
  if (!backend) {
    std::fprintf(stderr, "%s\n", backend.error().message.c_str());
    return 2;
  }
  std::printf("%s\n", (*backend)->info().description.c_str());
  Bench bench(**backend);
  std::vector<double> one;
  std::vector<double> fraction;
  std::vector<double> bandwidth;
  for (int i = 0; i < rounds; ++i) {
    const double before = (*backend)->measure_read_bandwidth(kProbeBytes);
    const double seconds = bench.step(1, 1, 64);
    const double after = (*backend)->measure_read_bandwidth(kProbeBytes);
    one.push_back(seconds);
    bandwidth.push_back((before + after) / 2);
    fraction.push_back(Bench::weight_bytes() / seconds / 1e9 / bandwidth.back());
  }
  std::printf(
      "decode batch 1: %.1f ms, read bandwidth %.1f GB/s, fraction of it %.3f (best %.3f)\n",
      1e3 * median(one), median(bandwidth), median(fraction),
      *std::max_element(fraction.begin(), fraction.end()));
  bench.print_ops();
  std::vector<double> ratio;
  for (int i = 0; i < rounds; ++i) {
    const double alone = bench.step(1, 1, 64);
    ratio.push_back(16 * alone / bench.step(16, 1, 64));
  }
  std::printf("decode batch 16: %.2f times the tokens/s of batch 1\n", median(ratio));
  bench.print_ops();
  std::vector<double> tflops;
  for (int i = 0; i < std::max(1, rounds / 2); ++i) {
    tflops.push_back(Bench::prefill_flops(kMaxTokens) / bench.step(1, kMaxTokens, kMaxTokens) /
                     1e12);
  }
  std::printf("prefill 512: %.3f TFLOP/s (best %.3f)\n", median(tflops),
              *std::max_element(tflops.begin(), tflops.end()));
  bench.print_ops();
  return 0;
}

}  // namespace
}  // namespace dejavu

int main(int argc, char** argv) {
  dejavu::BackendOptions options;
  if (argc > 1) options.cpu_isa = argv[1];
  if (argc > 2) options.threads = std::atoi(argv[2]);
  return dejavu::run(options, argc > 3 ? std::atoi(argv[3]) : 10);
}
