// An output element's bits are its own business: the same for a token computed alone and among
// others, at any place, in any chunk, and with one worker or two.
#include <catch2/catch.hpp>
#include <functional>

#include "engine/backend/cpu/isa.h"
#include "tests/backend/backends.h"
#include "tests/backend/op_data.h"

using namespace dejavu;

namespace {

constexpr std::int64_t kTokens = 300;

std::unique_ptr<Backend> make(CpuIsa isa, int threads) {
  BackendOptions options;
  options.cpu_isa = isa_name(isa);
  options.threads = threads;
  return std::move(make_cpu_backend(options).value());
}

Matrix rows_of(const Matrix& m, std::int64_t first, std::int64_t count) {
  return {m.row(first), m.dtype, count, m.cols, m.stride};
}

// Runs an op on tokens [first, first + count) of its operands.
using RunTokens = std::function<void(Backend&, std::int64_t first, std::int64_t count)>;

// Every way of cutting kTokens tokens gives the bits that single tokens give.
void check_cuts(CpuIsa isa, Operand& out, const RunTokens& run) {
  const auto one = make(isa, 1);
  const auto two = make(isa, 2);
  for (std::int64_t t = 0; t < kTokens; ++t) run(*one, t, 1);
  out.download();
  std::vector<std::vector<unsigned char>> alone;
  for (std::int64_t t = 0; t < kTokens; ++t) alone.push_back(out.row_bytes(t));
  for (Backend* backend : {one.get(), two.get()}) {
    for (const std::int64_t chunk : {1, 2, 3, 5, 7, 16, 17, 32, 33, 64, 130, 257, 300}) {
      INFO(backend->info().description << ", chunks of " << chunk);
      out.poison();
      for (std::int64_t t = 0; t < kTokens; t += chunk) {
        run(*backend, t, std::min(chunk, kTokens - t));
      }
      out.download();
      std::int64_t different = 0;
      for (std::int64_t t = 0; t < kTokens; ++t) {
        different += out.row_bytes(t) == alone[static_cast<std::size_t>(t)] ? 0 : 1;
      }
      CHECK(different == 0);
    }
  }
}

template <class Check>
void for_each_path(const Check& check) {
  for (const CpuIsa isa : supported_isas()) {
    const auto backend = make(isa, 1);
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      INFO(isa_name(isa) << " " << dtype_name(dtype));
      check(isa, *backend, dtype);
    }
  }
}

}  // namespace

TEST_CASE("linear gives a token the same bits in any batch") {
  for_each_path([](CpuIsa isa, Backend& backend, DType dtype) {
    std::mt19937 random(11);
    for (const std::int64_t in : {40, 1024, 1056}) {
      const int gap = in == 1024 ? 0 : 3;
      Operand x(backend, {kTokens, in, dtype, {1, 1}});
      Operand w(backend, {83, in, dtype, {gap, 1}});
      Operand y(backend, {kTokens, 83, DType::kF32, {}});
      x.randomize(random);
      w.randomize(random);
      check_cuts(isa, y, [&](Backend& b, std::int64_t first, std::int64_t count) {
        b.linear({rows_of(x.device(), first, count), w.device(), nullptr,
                  rows_of(y.device(), first, count)},
                 StreamId::kMain);
      });
    }
  });
}

TEST_CASE("project gives a token the same bits in any batch") {
  for_each_path([](CpuIsa isa, Backend& backend, DType dtype) {
    std::mt19937 random(12);
    for (const std::int64_t in : {40, 1100, 1401, 2080}) {
      const bool gapless = in == 1100 || in == 1401;
      const std::int64_t columns = gapless ? 96 : 83;
      Operand x(backend, {kTokens, in, dtype, {1, 1}});
      Operand w(backend, {in, columns, dtype, {gapless ? 0 : 3, 1}});
      Operand y(backend, {kTokens, columns, DType::kF32, {}});
      x.randomize(random, 1.0F, 0.5);
      w.randomize(random);
      check_cuts(isa, y, [&](Backend& b, std::int64_t first, std::int64_t count) {
        b.project({rows_of(x.device(), first, count), w.device(), nullptr,
                   rows_of(y.device(), first, count), false},
                  StreamId::kMain);
      });
    }
  });
}

TEST_CASE("mlp_up gives a token the same bits in any batch") {
  for_each_path([](CpuIsa isa, Backend& backend, DType dtype) {
    std::mt19937 random(13);
    for (const std::int64_t in : {200, 1024}) {
      const int gap = in == 1024 ? 0 : 3;
      Operand x(backend, {kTokens, in, dtype, {1, 1}});
      Operand gate(backend, {83, in, dtype, {gap, 1}});
      Operand up(backend, {83, in, dtype, {gap, 1}});
      Operand h(backend, {kTokens, 83, dtype, {}});
      x.randomize(random);
      gate.randomize(random);
      up.randomize(random);
      check_cuts(isa, h, [&](Backend& b, std::int64_t first, std::int64_t count) {
        MlpUpArgs args;
        args.x = rows_of(x.device(), first, count);
        args.gate = gate.device();
        args.up = up.device();
        args.activation = Activation::kGeluTanh;
        args.h = rows_of(h.device(), first, count);
        b.mlp_up(args, StreamId::kMain);
      });
    }
  });
}

TEST_CASE("norm gives a token the same bits in any batch") {
  for_each_path([](CpuIsa isa, Backend& backend, DType dtype) {
    std::mt19937 random(14);
    Operand x(backend, {kTokens, 200, DType::kF32, {1, 1}});
    Operand out(backend, {kTokens, 200, dtype, {}});
    x.randomize(random);
    check_cuts(isa, out, [&](Backend& b, std::int64_t first, std::int64_t count) {
      b.norm({NormKind::kLayerNorm, rows_of(x.device(), first, count), nullptr, nullptr, 1e-5F,
              rows_of(out.device(), first, count)},
             StreamId::kMain);
    });
  });
}

TEST_CASE("attention gives a token the same bits in any chunk and beside other sequences") {
  for_each_path([](CpuIsa isa, Backend& backend, DType dtype) {
    std::mt19937 random(15);
    const int dim = 40;
    const int heads = 4;
    const int kv_heads = 2;
    const int pages = 2 * ((static_cast<int>(kTokens) + kKvPageTokens - 1) / kKvPageTokens);
    for (const int window : {0, 75}) {
      Operand q(backend, {kTokens + 1, heads * dim, DType::kF32, {}});
      Operand k(backend, {pages * kv_heads * kKvPageTokens, dim, dtype, {}});
      Operand v(backend, {pages * kv_heads * kKvPageTokens, dim, dtype, {}});
      Operand out(backend, {kTokens + 1, heads * dim, DType::kF32, {}});
      q.randomize(random);
      k.randomize(random);
      v.randomize(random);
      std::vector<std::int32_t> table;
      for (int p = 0; p < pages; ++p) table.push_back((p * 7 + 3) % pages);
      // The sequence under test, and a neighbour of one token (the row after the chunk).
      check_cuts(isa, out, [&, table, window](Backend& b, std::int64_t first, std::int64_t count) {
        const auto end = static_cast<std::int32_t>(first + count);
        const Indices start(
            b, {0, static_cast<std::int32_t>(count), static_cast<std::int32_t>(count) + 1});
        const Indices context(b, {end, 33});
        const Indices places(b, table);
        AttentionArgs args;
        args.q = rows_of(q.device(), first, count + 1);
        args.cache = {k.device().data, v.device().data, dtype, pages, kv_heads, dim};
        args.sequences = count % 2 == 0 ? 2 : 1;
        args.query_start = start.device();
        args.context_length = context.device();
        args.page_table = places.device();
        args.page_table_stride = pages / 2;
        args.scale = 0.15F;
        args.window = window;
        args.out = rows_of(out.device(), first, count + 1);
        b.attention(args, StreamId::kMain);
      });
    }
  });
}

TEST_CASE("inputs that are exactly zero leave the bits of project as they are without their rows") {
  for_each_path([](CpuIsa isa, Backend& backend, DType dtype) {
    (void)isa;
    std::mt19937 random(16);
    const std::int64_t in = 1100;
    Operand x(backend, {3, in, dtype, {}});
    Operand w(backend, {in, 70, dtype, {}});
    x.randomize(random, 1.0F, 0.7);
    w.randomize(random);
    std::vector<std::vector<unsigned char>> rows;
    for (const bool other_weights : {false, true}) {
      if (other_weights) {  // rows whose input is zero for every token: their weights do not matter
        for (std::int64_t n = 0; n < in; ++n) {
          if (x.at(0, n) != 0 || x.at(1, n) != 0 || x.at(2, n) != 0) continue;
          for (std::int64_t o = 0; o < 70; ++o) {
            store_element(w.host().row(n), dtype, static_cast<std::size_t>(o), 3.0F);
          }
        }
        w.upload();
      }
      Operand y(backend, {3, 70, DType::kF32, {}});
      backend.project({x.device(), w.device(), nullptr, y.device(), false}, StreamId::kMain);
      y.download();
      rows.push_back({});
      for (std::int64_t t = 0; t < 3; ++t) {
        const std::vector<unsigned char> row = y.row_bytes(t);
        rows.back().insert(rows.back().end(), row.begin(), row.end());
      }
    }
    CHECK(rows[0] == rows[1]);
  });
}
