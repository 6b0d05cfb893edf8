// linear, project and mlp_up against the double reference, on every backend.
#include <catch2/catch.hpp>

#include "tests/backend/backends.h"
#include "tests/backend/op_data.h"
#include "tests/support/reference_ops.h"

using namespace dejavu;

namespace {

struct Size {
  std::int64_t tokens;
  std::int64_t in;
  std::int64_t out;
};

const std::vector<Size> kSizes = {{1, 1, 1},     {1, 3, 17},    {2, 17, 3},    {5, 65, 33},
                                  {16, 64, 64},  {33, 96, 130}, {130, 33, 65}, {0, 32, 32},
                                  {1, 512, 256}, {16, 257, 31}, {17, 544, 48}, {3, 1024, 16},
                                  {1, 512, 640}};
const std::vector<DType> kDTypes = {DType::kF32, DType::kF16, DType::kBF16};

// Odd strides and starts, and the aligned, packed case.
const std::vector<Layout> kLayouts = {{}, {7, 3}};

std::string describe(const std::string& backend, DType dtype, const Size& size, Layout layout) {
  return backend + " " + std::string(dtype_name(dtype)) + " tokens " + std::to_string(size.tokens) +
         " in " + std::to_string(size.in) + " out " + std::to_string(size.out) + " pad " +
         std::to_string(layout.pad);
}

template <class Check>
void for_each_case(const Check& check) {
  for (const NamedBackend& named : test_backends()) {
    for (const DType dtype : kDTypes) {
      for (const Size& size : kSizes) {
        for (const Layout layout : kLayouts) {
          INFO(describe(named.name, dtype, size, layout));
          check(*named.backend, dtype, size, layout);
        }
      }
    }
  }
}

void check_linear(Backend& backend, DType dtype, const Size& size, Layout layout, DType out) {
  std::mt19937 random(7);
  Operand x(backend, {size.tokens, size.in, dtype, layout});
  Operand w(backend, {size.out, size.in, dtype, layout});
  Operand bias(backend, {1, size.out, DType::kF32, {}});
  Operand y(backend, {size.tokens, size.out, out, layout});
  x.randomize(random);
  w.randomize(random, 0.1F);
  bias.randomize(random);
  for (const bool with_bias : {false, true}) {
    LinearArgs args{x.device(), w.device(), with_bias ? bias.device_floats() : nullptr, y.device()};
    backend.linear(args, StreamId::kMain);
    y.download();
    args = {x.host(), w.host(), with_bias ? bias.host_floats() : nullptr, y.host()};
    CHECK(relative_error(y, reference::linear(args)) <= tolerance(out));
    CHECK(y.padding_intact());
  }
}

void check_project(Backend& backend, DType dtype, const Size& size, Layout layout) {
  std::mt19937 random(8);
  Operand x(backend, {size.tokens, size.in, dtype, layout});
  Operand w(backend, {size.in, size.out, dtype, layout});
  Operand bias(backend, {1, size.out, DType::kF32, {}});
  x.randomize(random, 1.0F, 0.5);
  w.randomize(random, 0.1F);
  bias.randomize(random);
  for (const bool accumulate : {false, true}) {
    Operand y(backend, {size.tokens, size.out, DType::kF32, layout});
    if (accumulate) y.randomize(random);
    const std::vector<double> expected =
        reference::project({x.host(), w.host(), bias.host_floats(), y.host(), accumulate});
    backend.project({x.device(), w.device(), bias.device_floats(), y.device(), accumulate},
                    StreamId::kMain);
    y.download();
    CHECK(relative_error(y, expected) <= tolerance(DType::kF32));
    CHECK(y.padding_intact());
  }
}

void check_mlp_up(Backend& backend, DType dtype, const Size& size, Layout layout, bool gated) {
  std::mt19937 random(9);
  Operand x(backend, {size.tokens, size.in, dtype, layout});
  // Neuron records: [up, down] or [gate, up, down], each of `in` elements.
  const std::int64_t parts = gated ? 3 : 2;
  Operand w(backend, {size.out, parts * size.in, dtype, layout});
  Operand bias(backend, {2, size.out, DType::kF32, {}});
  Operand h(backend, {size.tokens, size.out, dtype, layout});
  x.randomize(random);
  w.randomize(random, 0.2F);
  bias.randomize(random);
  const auto part = [&](const Matrix& all, std::int64_t index) {
    auto* data = static_cast<std::byte*>(all.data) +
                 static_cast<std::size_t>(index * size.in) * dtype_size(dtype);
    return ConstMatrix{data, dtype, size.out, size.in, all.stride};
  };
  for (const Activation activation :
       {Activation::kRelu, Activation::kRelu2, Activation::kSilu, Activation::kGelu,
        Activation::kGeluTanh, Activation::kFatRelu}) {
    INFO("activation " << static_cast<int>(activation));
    MlpUpArgs args;
    args.activation = activation;
    args.threshold = 0.3F;
    args.x = x.device();
    if (gated) args.gate = part(w.device(), 0);
    if (gated) args.gate_bias = bias.device_floats() + size.out;
    args.up = part(w.device(), gated ? 1 : 0);
    args.up_bias = bias.device_floats();
    args.h = h.device();
    backend.mlp_up(args, StreamId::kMain);
    h.download();
    args.x = x.host();
    if (gated) args.gate = part(w.host(), 0);
    if (gated) args.gate_bias = bias.host_floats() + size.out;
    args.up = part(w.host(), gated ? 1 : 0);
    args.up_bias = bias.host_floats();
    CHECK(relative_error(h, reference::mlp_up(args)) <= tolerance(dtype));
    CHECK(h.padding_intact());
  }
}

}  // namespace

TEST_CASE("linear equals the reference") {
  for_each_case([](Backend& backend, DType dtype, const Size& size, Layout layout) {
    check_linear(backend, dtype, size, layout, DType::kF32);
    check_linear(backend, dtype, size, layout, dtype);
  });
}

TEST_CASE("project equals the reference") { for_each_case(check_project); }

TEST_CASE("mlp_up equals the reference") {
  for_each_case([](Backend& backend, DType dtype, const Size& size, Layout layout) {
    check_mlp_up(backend, dtype, size, layout, false);
    check_mlp_up(backend, dtype, size, layout, true);
  });
}
