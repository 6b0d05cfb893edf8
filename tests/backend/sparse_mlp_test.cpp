// sparse_mlp and the hints of mlp_up and project that leave rows unread: against the double
// reference, and to the bit against the ops that read everything.
#include <catch2/catch.hpp>

#include "engine/backend/cpu/isa.h"
#include "tests/backend/backends.h"
#include "tests/backend/sets.h"
#include "tests/support/reference_ops.h"

using namespace dejavu;

namespace {

struct Case {
  std::int64_t tokens;
  std::int64_t width;
  int ffn;
  double density;
  bool gated;
  bool packed = false;  // rows on sixteen bytes, without gaps
};

Layout layout_of(const Case& shape, Layout odd) { return shape.packed ? Layout{} : odd; }

const std::vector<Case> kCases = {{1, 64, 96, 0.1, false},
                                  {1, 64, 1056, 0.1, true},
                                  {1, 33, 83, 0.5, false},
                                  {2, 40, 1100, 0.3, true},
                                  {3, 100, 70, 0.0, false},
                                  {5, 65, 1030, 0.2, false},
                                  {7, 96, 65, 1.0, true},
                                  {1, 257, 2080, 1.0, false},
                                  {16, 64, 600, 0.05, false},
                                  {17, 130, 1100, 0.1, true},
                                  {33, 31, 97, 0.4, false},
                                  {64, 64, 1056, 0.02, true},
                                  {70, 48, 130, 0.3, false},
                                  {0, 32, 64, 0.5, false},
                                  {1, 1, 1, 1.0, true},
                                  {4, 64, 1536, 0.15, false},
                                  {1, 64, 1056, 0.1, false, true},
                                  {1, 128, 700, 0.3, true, true},
                                  {4, 72, 300, 0.2, false, true},
                                  {16, 264, 515, 0.3, true, true},
                                  {17, 512, 96, 1.0, false, true},
                                  {32, 264, 515, 0.1, true, true},
                                  {40, 520, 130, 0.5, false, true}};

// An MLP's operands: neuron records [gate?, up, down] on a backend, its input and its sets.
struct Mlp {
  Mlp(Backend& on, DType type, const Case& of, unsigned seed)
      : backend(on),
        shape(of),
        dtype(type),
        random(seed),
        x(on, {of.tokens, of.width, type, layout_of(of, {1, 1})}),
        records(on, {of.ffn, (of.gated ? 3 : 2) * of.width, type, layout_of(of, {3, 1})}),
        bias(on, {3, std::max<std::int64_t>(of.ffn, of.width), DType::kF32, {}}),
        sets(on, of.tokens, of.ffn, of.density, random) {
    x.randomize(random);
    records.randomize(random, 0.2F);
    bias.randomize(random, 0.3F);
  }

  ConstMatrix part(const Matrix& all, std::int64_t index) const {
    auto* data = static_cast<std::byte*>(all.data) +
                 static_cast<std::size_t>(index * shape.width) * dtype_size(dtype);
    return {data, dtype, shape.ffn, shape.width, all.stride};
  }
  MlpUpArgs up(bool device) {
    const Matrix all = device ? records.device() : records.host();
    const float* biases = device ? bias.device_floats() : bias.host_floats();
    MlpUpArgs args;
    args.x = device ? x.device() : x.host();
    if (shape.gated) args.gate = part(all, 0);
    args.up = part(all, shape.gated ? 1 : 0);
    args.up_bias = biases;
    if (shape.gated) args.gate_bias = biases + bias.host().stride;
    return args;
  }
  ConstMatrix down(bool device) {
    return part(device ? records.device() : records.host(), shape.gated ? 2 : 1);
  }
  const float* down_bias(bool device) {
    return (device ? bias.device_floats() : bias.host_floats()) + 2 * bias.host().stride;
  }

  Backend& backend;
  Case shape;
  DType dtype;
  std::mt19937 random;
  Operand x;
  Operand records;
  Operand bias;
  Sets sets;
};

Matrix rows_of(const Matrix& m, std::int64_t first, std::int64_t count) {
  return {m.row(first), m.dtype, count, m.cols, m.stride};
}

// y += the MLP of tokens [first, first + count), gathered.
void run_gathered(Mlp& mlp, Backend& backend, Operand& y, std::int64_t first, std::int64_t count) {
  SparseMlpArgs args;
  args.up = mlp.up(true);
  args.up.x = rows_of(mlp.x.device(), first, count);
  args.up.mask = mlp.sets.device(first);
  args.down = mlp.down(true);
  args.union_ids = mlp.sets.union_ids();
  args.union_count = mlp.sets.union_count();
  const auto scratch = backend.allocate(
      1 + backend.sparse_mlp_scratch(static_cast<int>(count), static_cast<int>(mlp.shape.width),
                                     mlp.shape.ffn));
  args.scratch = scratch->data();
  backend.sparse_mlp(args, StreamId::kMain);
  backend.sparse_mlp_add(
      {scratch->data(), mlp.shape.ffn, mlp.down_bias(true), rows_of(y.device(), first, count)},
      StreamId::kMain);
}

// The same with whole reads; without a mask when `masked` is false.
void run_whole(Mlp& mlp, Operand& y, bool masked) {
  Operand h(mlp.backend, {mlp.shape.tokens, mlp.shape.ffn, mlp.dtype, {}});
  MlpUpArgs up = mlp.up(true);
  up.h = h.device();
  if (masked) up.mask = mlp.sets.device();
  mlp.backend.mlp_up(up, StreamId::kMain);
  mlp.backend.project({h.device(), mlp.down(true), mlp.down_bias(true), y.device(), true},
                      StreamId::kMain);
}

std::vector<double> expected(Mlp& mlp, Operand& y) {
  Operand h(mlp.backend, {mlp.shape.tokens, mlp.shape.ffn, mlp.dtype, {}});
  const std::vector<double> all = reference::mlp_up(mlp.up(false));
  for (std::int64_t t = 0; t < mlp.shape.tokens; ++t) {
    for (int n = 0; n < mlp.shape.ffn; ++n) {
      const double value = all[static_cast<std::size_t>(t * mlp.shape.ffn + n)];
      store_element(h.host().row(t), mlp.dtype, static_cast<std::size_t>(n),
                    mlp.sets.has(t, n) ? static_cast<float>(value) : 0.0F);
    }
  }
  return reference::project({h.host(), mlp.down(false), mlp.down_bias(false), y.host(), true});
}

Operand outputs(Mlp& mlp) {
  std::mt19937 random(99);
  Operand y(mlp.backend, {mlp.shape.tokens, mlp.shape.width, DType::kF32, {2, 1}});
  y.randomize(random);
  return y;
}

void poison_row(Mlp& mlp, int neuron, std::int64_t part_index, std::int64_t parts) {
  auto* row = static_cast<std::byte*>(mlp.records.host().row(neuron));
  const std::size_t bytes = static_cast<std::size_t>(mlp.shape.width) * dtype_size(mlp.dtype);
  std::memset(row + static_cast<std::size_t>(part_index) * bytes, kPoison,
              static_cast<std::size_t>(parts) * bytes);
}

template <class Check>
void for_each_mlp(const Check& check) {
  for (const NamedBackend& named : test_backends()) {
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      for (const Case& shape : kCases) {
        INFO(named.name << " " << dtype_name(dtype) << " tokens " << shape.tokens << " width "
                        << shape.width << " ffn " << shape.ffn << " density " << shape.density
                        << (shape.gated ? " gated" : "") << (shape.packed ? " packed" : ""));
        Mlp mlp(*named.backend, dtype, shape, 5);
        check(mlp);
      }
    }
  }
}

}  // namespace

TEST_CASE("sparse_mlp equals the reference, and the bits of whole reads with the same sets") {
  for_each_mlp([](Mlp& mlp) {
    Operand whole = outputs(mlp);
    run_whole(mlp, whole, true);
    Operand y = outputs(mlp);
    const std::vector<double> want = expected(mlp, y);
    const std::int64_t parts = mlp.shape.gated ? 3 : 2;
    for (int n = 0; n < mlp.shape.ffn; ++n) {  // nothing outside the union is read
      if (!mlp.sets.in_union(mlp.shape.tokens, n)) poison_row(mlp, n, 0, parts);
    }
    mlp.records.upload();
    run_gathered(mlp, mlp.backend, y, 0, mlp.shape.tokens);
    CHECK(agree(mlp.backend, mlp.dtype, y, whole));
    CHECK(relative_error(y, want) <= tolerance(mlp.dtype));
    CHECK(y.padding_intact());
  });
}

TEST_CASE("sparse_mlp at density 1 gives the dense bits") {
  for_each_mlp([](Mlp& mlp) {
    if (mlp.shape.density < 1.0) return;
    Operand dense = outputs(mlp);
    run_whole(mlp, dense, false);
    Operand y = outputs(mlp);
    run_gathered(mlp, mlp.backend, y, 0, mlp.shape.tokens);
    CHECK(agree(mlp.backend, mlp.dtype, y, dense));
  });
}

TEST_CASE("sparse_mlp gives a token the same bits alone and in a batch, on one thread and on two") {
  for (const CpuIsa isa : supported_isas()) {
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      for (const bool gated : {false, true}) {
        BackendOptions options;
        options.cpu_isa = isa_name(isa);
        options.threads = 1;
        const auto one = std::move(make_cpu_backend(options).value());
        options.threads = 2;
        const auto two = std::move(make_cpu_backend(options).value());
        INFO(isa_name(isa) << " " << dtype_name(dtype) << (gated ? " gated" : ""));
        Mlp mlp(*one, dtype, {70, 72, 1100, 0.2, gated}, 6);
        Operand alone = outputs(mlp);
        for (std::int64_t t = 0; t < mlp.shape.tokens; ++t) {
          run_gathered(mlp, *one, alone, t, 1);
        }
        const auto bits = bits_of(alone);
        for (Backend* backend : {one.get(), two.get()}) {
          for (const std::int64_t chunk : {1, 2, 4, 5, 16, 17, 33, 64, 70}) {
            INFO(backend->info().threads << " threads, chunks of " << chunk);
            Operand y = outputs(mlp);
            for (std::int64_t t = 0; t < mlp.shape.tokens; t += chunk) {
              run_gathered(mlp, *backend, y, t, std::min(chunk, mlp.shape.tokens - t));
            }
            CHECK((bits_of(y) == bits));
          }
        }
      }
    }
  }
}

TEST_CASE("project without its zero rows gives the same bits and does not read them") {
  for_each_mlp([](Mlp& mlp) {
    if (mlp.shape.gated) return;
    Operand h(mlp.backend, {mlp.shape.tokens, mlp.shape.ffn, mlp.dtype, {1, 1}});
    h.randomize(mlp.random, 1.0F, 1.0 - mlp.shape.density);
    Operand whole = outputs(mlp);
    ProjectArgs args{h.device(), mlp.down(true), mlp.down_bias(true), whole.device(), true};
    mlp.backend.project(args, StreamId::kMain);
    if (mlp.shape.tokens <= 64) {
      for (int n = 0; n < mlp.shape.ffn; ++n) {
        bool zero = true;
        for (std::int64_t t = 0; t < mlp.shape.tokens; ++t) zero = zero && h.at(t, n) == 0;
        if (zero) poison_row(mlp, n, 1, 1);
      }
      mlp.records.upload();
    }
    Operand y = outputs(mlp);
    args.y = y.device();
    args.skip_zero_rows = true;
    mlp.backend.project(args, StreamId::kMain);
    CHECK(agree(mlp.backend, mlp.dtype, y, whole));
  });
}

TEST_CASE("mlp_up without the rows whose gates are zero gives the same bits") {
  for_each_mlp([](Mlp& mlp) {
    if (!mlp.shape.gated) return;
    for (const bool masked : {false, true}) {
      INFO((masked ? "masked" : "whole"));
      Mlp own(mlp.backend, mlp.dtype, mlp.shape, 8);
      Operand h(own.backend, {own.shape.tokens, own.shape.ffn, own.dtype, {2, 1}});
      Operand skipped(own.backend, {own.shape.tokens, own.shape.ffn, own.dtype, {2, 1}});
      MlpUpArgs args = own.up(true);
      args.activation = Activation::kFatRelu;
      args.threshold = 0.4F;
      if (masked) args.mask = own.sets.device();
      args.h = h.device();
      own.backend.mlp_up(args, StreamId::kMain);
      h.download();
      if (own.shape.tokens <= 64) {
        for (int n = 0; n < own.shape.ffn; ++n) {
          bool zero = true;
          for (std::int64_t t = 0; t < own.shape.tokens; ++t) zero = zero && h.at(t, n) == 0;
          if (zero) poison_row(own, n, 1, 1);
        }
        own.records.upload();
      }
      args.h = skipped.device();
      args.skip_zero_gates = true;
      own.backend.mlp_up(args, StreamId::kMain);
      CHECK(agree(mlp.backend, mlp.dtype, skipped, h));
      CHECK(skipped.padding_intact());
    }
  });
}

TEST_CASE("mlp_up zeroes what is at or below a token's cutoff, or out of its set") {
  for_each_mlp([](Mlp& mlp) {
    Operand cutoffs(mlp.backend, {2, mlp.shape.ffn, DType::kF32, {}});
    cutoffs.randomize(mlp.random, 0.5F);
    std::vector<std::int32_t> levels = {0};
    for (std::int64_t t = 0; t < mlp.shape.tokens; ++t) {
      levels.push_back(static_cast<std::int32_t>(t % 3) - 1);
    }
    const Indices level(mlp.backend, levels);
    Operand h(mlp.backend, {mlp.shape.tokens, mlp.shape.ffn, mlp.dtype, {2, 1}});
    MlpUpArgs args = mlp.up(true);
    args.activation = Activation::kSilu;
    args.h = h.device();
    args.mask = mlp.sets.device();
    args.cutoffs = cutoffs.device_floats();
    args.cutoff_level = level.device() + 1;
    mlp.backend.mlp_up(args, StreamId::kMain);
    h.download();
    args = mlp.up(false);
    args.activation = Activation::kSilu;
    const std::vector<double> all = reference::mlp_up(args);
    MlpUpArgs first = args;  // the factor that the cutoff judges
    if (mlp.shape.gated) {
      first.up = args.gate;
      first.up_bias = args.gate_bias;
      first.gate = {};
    }
    const std::vector<double> judged = reference::mlp_up(first);
    std::int64_t wrong = 0;
    for (std::int64_t t = 0; t < mlp.shape.tokens; ++t) {
      const std::int32_t own = level.host()[t + 1];
      for (int n = 0; n < mlp.shape.ffn; ++n) {
        const auto place = static_cast<std::size_t>(t * mlp.shape.ffn + n);
        const double cutoff = own < 0 ? -1.0 : static_cast<double>(cutoffs.at(own, n));
        const double margin = std::abs(judged[place]) - cutoff;
        if (std::abs(margin) < 1e-4) continue;
        const double want = mlp.sets.has(t, n) && margin > 0 ? all[place] : 0.0;
        const double error = std::abs(h.at(t, n) - want);
        wrong += error <= 2 * tolerance(mlp.dtype) * (1.0 + std::abs(want)) ? 0 : 1;
        if (want == 0) wrong += h.at(t, n) == 0 ? 0 : 1;
      }
    }
    CHECK(wrong == 0);
    CHECK(h.padding_intact());
  });
}
