// embed, norm and store_kv against the double reference, on every backend.
#include <catch2/catch.hpp>

#include "tests/backend/backends.h"
#include "tests/backend/op_data.h"
#include "tests/support/reference_ops.h"

using namespace dejavu;

namespace {

void check_embed(Backend& backend, DType dtype, std::int64_t width) {
  std::mt19937 random(1);
  Operand tokens(backend, {50, width, dtype, {5, 1}});
  Operand places(backend, {12, width, dtype, {}});
  tokens.randomize(random);
  places.randomize(random);
  const Indices ids(backend, {3, ~2, 49, 0, ~0});
  const Indices last(backend, {7, 8, 9});
  const Indices positions(backend, {0, 9, 4, 4, 1});
  for (const bool learned : {false, true}) {
    Operand out(backend, {5, width, DType::kF32, {3, 2}});
    EmbedArgs args{ids.host(),    last.host(),     positions.host(), tokens.host(),
                   ConstMatrix{}, learned ? 2 : 0, out.host()};
    if (learned) args.position_table = places.host();
    const std::vector<double> expected = reference::embed(args);
    args = {ids.device(),  last.device(),   positions.device(), tokens.device(),
            ConstMatrix{}, learned ? 2 : 0, out.device()};
    if (learned) args.position_table = places.device();
    backend.embed(args, StreamId::kMain);
    out.download();
    CHECK(relative_error(out, expected) <= 1e-6);
    CHECK(out.padding_intact());
  }
}

void check_norm(Backend& backend, NormKind kind, DType out_dtype, std::int64_t width) {
  std::mt19937 random(2);
  for (const std::int64_t tokens : {0, 1, 2, 5, 130}) {
    Operand x(backend, {tokens, width, DType::kF32, {3, 1}});
    Operand weight(backend, {2, width, DType::kF32, {}});
    Operand out(backend, {tokens, width, out_dtype, {1, 5}});
    x.randomize(random, 3.0F);
    weight.randomize(random);
    NormArgs args{kind, x.host(), nullptr, nullptr, 1e-5F, out.host()};
    const std::vector<double> plain = reference::norm(args);
    args.weight = weight.host_floats();
    args.bias = weight.host_floats() + width;
    const std::vector<double> scaled = reference::norm(args);

    args = {kind, x.device(), nullptr, nullptr, 1e-5F, out.device()};
    backend.norm(args, StreamId::kMain);
    out.download();
    CHECK(relative_error(out, plain) <= tolerance(out_dtype));
    args.weight = weight.device_floats();
    args.bias = weight.device_floats() + width;
    backend.norm(args, StreamId::kMain);
    out.download();
    CHECK(relative_error(out, scaled) <= tolerance(out_dtype));
    CHECK(out.padding_intact());
    if (out_dtype == DType::kF32) {  // in place
      args.out = x.device();
      backend.norm(args, StreamId::kMain);
      x.download();
      CHECK(relative_error(x, scaled) <= tolerance(out_dtype));
    }
  }
}

void check_store_kv(Backend& backend, DType dtype, int dim, bool rotary) {
  std::mt19937 random(3);
  const int heads = 6;
  const int kv_heads = 2;
  const int pages = 3;
  Operand q(backend, {4, heads * dim, DType::kF32, {2, 1}});
  Operand k(backend, {4, kv_heads * dim, DType::kF32, {2, 1}});
  Operand v(backend, {4, kv_heads * dim, DType::kF32, {}});
  Operand angles(backend, {2 * 40, dim / 2, DType::kF32, {}});
  Operand k_cache(backend, {pages * kv_heads * kKvPageTokens, dim, dtype, {}});
  Operand v_cache(backend, {pages * kv_heads * kKvPageTokens, dim, dtype, {}});
  q.randomize(random);
  k.randomize(random);
  v.randomize(random);
  angles.randomize(random);
  const Indices positions(backend, {0, 39, 5, 6});
  const std::vector<std::int32_t> places = {40, 0, 15, 16};
  const Indices slots(backend, places);
  const auto table = static_cast<std::int64_t>(40) * (dim / 2);

  KvView cache{k_cache.host().data, v_cache.host().data, dtype, pages, kv_heads, dim};
  StoreKvArgs args{q.host(),     k.host(), v.host(), positions.host(),
                   slots.host(), nullptr,  nullptr,  cache};
  if (rotary) args.cos = angles.host_floats();
  if (rotary) args.sin = angles.host_floats() + table;
  const reference::RotatedHeads expected = reference::rotate(args);

  cache.k = k_cache.device().data;
  cache.v = v_cache.device().data;
  args = {q.device(),     k.device(), v.device(), positions.device(),
          slots.device(), nullptr,    nullptr,    cache};
  if (rotary) args.cos = angles.device_floats();
  if (rotary) args.sin = angles.device_floats() + table;
  backend.store_kv(args, StreamId::kMain);
  for (Operand* each : {&q, &k_cache, &v_cache}) each->download();

  CHECK(relative_error(q, expected.q) <= 1e-6);
  CHECK(q.padding_intact());
  cache.k = k_cache.host().data;
  double worst = 0;
  for (std::int64_t t = 0; t < 4; ++t) {
    for (int g = 0; g < kv_heads; ++g) {
      const auto row = static_cast<std::int64_t>(
          reference::kv_index(cache, places[static_cast<std::size_t>(t)], g) /
          static_cast<std::size_t>(dim));
      for (int i = 0; i < dim; ++i) {
        const auto at = static_cast<std::size_t>((t * kv_heads + g) * dim + i);
        worst = std::max(worst, std::abs(k_cache.at(row, i) - expected.k[at]));
        worst = std::max(worst,
                         std::abs(static_cast<double>(v_cache.at(row, i)) - v.at(t, g * dim + i)));
      }
    }
  }
  CHECK(worst <= 4 * tolerance(dtype));
  // Every other row keeps its poison.
  int written = 0;
  for (std::int64_t r = 0; r < k_cache.host().rows; ++r) {
    written += std::isnan(k_cache.at(r, 0)) ? 0 : 1;
    CHECK(std::isnan(k_cache.at(r, 0)) == std::isnan(v_cache.at(r, dim - 1)));
  }
  CHECK(written == 4 * kv_heads);
}

}  // namespace

TEST_CASE("embed equals the reference") {
  for (const NamedBackend& named : test_backends()) {
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      for (const std::int64_t width : {1, 17, 64}) {
        INFO(named.name << " " << dtype_name(dtype) << " width " << width);
        check_embed(*named.backend, dtype, width);
      }
    }
  }
}

TEST_CASE("norm equals the reference") {
  for (const NamedBackend& named : test_backends()) {
    for (const NormKind kind : {NormKind::kLayerNorm, NormKind::kRmsNorm}) {
      for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
        for (const std::int64_t width : {3, 17, 64, 515}) {
          INFO(named.name << " " << dtype_name(dtype) << " width " << width);
          check_norm(*named.backend, kind, dtype, width);
        }
      }
    }
  }
}

TEST_CASE("store_kv rotates and writes the right rows") {
  for (const NamedBackend& named : test_backends()) {
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      for (const int dim : {2, 6, 64, 80, 128}) {
        INFO(named.name << " " << dtype_name(dtype) << " head_dim " << dim);
        check_store_kv(*named.backend, dtype, dim, true);
        check_store_kv(*named.backend, dtype, dim, false);
      }
    }
  }
}
