// The ops at the widths of real models, where the fast kernels run, against the double reference.
#include <catch2/catch.hpp>

#include "tests/backend/backends.h"
#include "tests/backend/sets.h"
#include "tests/support/reference_ops.h"

using namespace dejavu;

namespace {

template <class Check>
void for_each_case(const std::vector<std::int64_t>& tokens, const Check& check) {
  for (const NamedBackend& named : test_backends()) {
    for (const DType dtype : {DType::kF16, DType::kBF16}) {
      for (const std::int64_t count : tokens) {
        INFO(dtype_name(dtype) << " tokens " << count);
        check(*named.backend, dtype, count);
      }
    }
  }
}

ConstMatrix part(const Matrix& all, std::int64_t index, std::int64_t width) {
  auto* data = static_cast<std::byte*>(all.data) +
               static_cast<std::size_t>(index * width) * dtype_size(all.dtype);
  return {data, all.dtype, all.rows, width, all.stride};
}

}  // namespace

TEST_CASE("wide linear equals the reference, run after run") {
  for_each_case({1, 2, 3, 16}, [](Backend& backend, DType dtype, std::int64_t tokens) {
    std::mt19937 random(51);
    for (const std::int64_t in : {768, 4096, 7168}) {
      Operand x(backend, {tokens, in, dtype, {}});
      Operand w(backend, {333, in, dtype, {}});
      Operand bias(backend, {1, 333, DType::kF32, {}});
      Operand y(backend, {tokens, 333, DType::kF32, {3, 0}});
      x.randomize(random);
      w.randomize(random, 0.05F);
      bias.randomize(random);
      const auto expected = reference::linear({x.host(), w.host(), bias.host_floats(), y.host()});
      std::vector<unsigned char> first;
      for (int run = 0; run < 3; ++run) {
        y.poison();
        backend.linear({x.device(), w.device(), bias.device_floats(), y.device()}, StreamId::kMain);
        const auto bits = bits_of(y);
        CHECK(relative_error(y, expected) <= tolerance(DType::kF32));
        CHECK(y.padding_intact());
        if (run == 0) first = bits;
        CHECK((bits == first));
      }
    }
  });
}

TEST_CASE("wide project equals the reference, run after run, with and without its zero rows") {
  for_each_case({1, 2, 16}, [](Backend& backend, DType dtype, std::int64_t tokens) {
    std::mt19937 random(52);
    for (const std::int64_t in : {515, 7168}) {
      Operand x(backend, {tokens, in, dtype, {1, 0}});
      Operand w(backend, {in, 520, dtype, {}});
      Operand bias(backend, {1, 520, DType::kF32, {}});
      x.randomize(random, 1.0F, 0.8);
      w.randomize(random, 0.05F);
      bias.randomize(random);
      std::vector<unsigned char> first;
      for (int run = 0; run < 4; ++run) {
        std::mt19937 again(7);
        Operand y(backend, {tokens, 520, DType::kF32, {}});
        y.randomize(again);
        ProjectArgs args{x.host(), w.host(), bias.host_floats(), y.host(), true};
        const auto expected = reference::project(args);
        args = {x.device(), w.device(), bias.device_floats(), y.device(), true, run >= 2};
        backend.project(args, StreamId::kMain);
        const auto bits = bits_of(y);
        CHECK(relative_error(y, expected) <= tolerance(DType::kF32));
        if (run % 2 == 0) first = bits;
        CHECK((bits == first));
      }
    }
  });
}

TEST_CASE("wide gathered MLP equals the reference, run after run, whatever the union") {
  for_each_case({1, 2, 16, 33}, [](Backend& backend, DType dtype, std::int64_t tokens) {
    for (const bool gated : {false, true}) {
      for (const double density : {0.0, 0.02, 1.0}) {
        for (const std::int64_t width : {256, 768, 4096, 7168}) {
          // The first: more neurons than the blocks of a large GPU take at once.
          const int ffn = width == 256 ? 9001 : width == 768 ? 1000 : 131;
          // Nothing is read of an empty union, and the first is there for its count.
          if (density == 0.0 ? width != 768 : width == 256 && density < 1.0) continue;
          INFO("width " << width << " density " << density << (gated ? " gated" : ""));
          std::mt19937 random(53);
          const std::int64_t parts = gated ? 3 : 2;
          Operand x(backend, {tokens, width, dtype, {}});
          Operand records(backend, {ffn, parts * width, dtype, {}});
          Operand biases(backend, {2, ffn, DType::kF32, {}});
          Operand y(backend, {tokens, width, DType::kF32, {}});
          x.randomize(random);
          records.randomize(random, 0.03F);
          biases.randomize(random, 0.3F);
          const Sets sets(backend, tokens, ffn, density, random);
          Operand h(backend, {tokens, ffn, dtype, {}});
          const auto up_args = [&](bool device) {
            const Matrix all = device ? records.device() : records.host();
            const float* bias = device ? biases.device_floats() : biases.host_floats();
            MlpUpArgs args;
            args.x = device ? x.device() : x.host();
            if (gated) args.gate = part(all, 0, width);
            args.up = part(all, gated ? 1 : 0, width);
            args.up_bias = bias;
            if (gated) args.gate_bias = bias + ffn;
            return args;
          };
          const auto all = reference::mlp_up(up_args(false));
          for (std::int64_t t = 0; t < tokens; ++t)
            for (int n = 0; n < ffn; ++n)
              store_element(h.host().row(t), dtype, static_cast<std::size_t>(n),
                            sets.has(t, n)
                                ? static_cast<float>(all[static_cast<std::size_t>(t * ffn + n)])
                                : 0.0F);
          std::vector<unsigned char> first;
          std::vector<double> expected;
          const Buffer scratch =
              std::move(backend
                            .allocate(backend.sparse_mlp_scratch(static_cast<int>(tokens),
                                                                 static_cast<int>(width), ffn))
                            .value());
          for (int run = 0; run < 3; ++run) {
            std::mt19937 again(9);
            y.randomize(again);
            if (run == 0)
              expected = reference::project(
                  {h.host(), part(records.host(), gated ? 2 : 1, width), nullptr, y.host(), true});
            SparseMlpArgs args;
            args.up = up_args(true);
            args.up.mask = sets.device();
            args.down = part(records.device(), gated ? 2 : 1, width);
            args.union_ids = sets.union_ids();
            args.union_count = sets.union_count();
            args.scratch = scratch.data();
            backend.sparse_mlp(args, StreamId::kMain);
            backend.sparse_mlp_add({scratch.data(), ffn, nullptr, y.device()}, StreamId::kMain);
            const auto bits = bits_of(y);
            CHECK(relative_error(y, expected) <= tolerance(dtype));
            if (run == 0) first = bits;
            CHECK((bits == first));
          }
        }
      }
    }
  });
}
