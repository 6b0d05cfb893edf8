// The ops' head sets: linear's row groups and attention's KV groups.
#include <catch2/catch.hpp>

#include "tests/backend/backends.h"
#include "tests/backend/sets.h"
#include "tests/support/reference_ops.h"

using namespace dejavu;

namespace {

template <class Check>
void for_each_path(const Check& check) {
  for (const NamedBackend& named : test_backends()) {
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      INFO(named.name << " " << dtype_name(dtype));
      check(*named.backend, dtype);
    }
  }
}

struct Groups {
  int units;
  int rows;
  std::int64_t rest;  // rows after the groups
  Layout layout = {3, 1};
};

void check_row_mask(Backend& backend, DType dtype, const Groups& groups, double density) {
  std::mt19937 random(31);
  const std::int64_t in = 200;
  const std::int64_t out = groups.units * groups.rows + groups.rest;
  for (const std::int64_t tokens : {1, 3, 20}) {
    INFO("groups " << groups.units << " of " << groups.rows << " density " << density << " tokens "
                   << tokens);
    Operand x(backend, {tokens, in, dtype, groups.layout.pad == 0 ? Layout{} : Layout{1, 1}});
    Operand w(backend, {out, in, dtype, groups.layout});
    Operand bias(backend, {1, out, DType::kF32, {}});
    Operand whole(backend, {tokens, out, DType::kF32, {}});
    Operand y(backend, {tokens, out, DType::kF32, {1, 1}});
    x.randomize(random);
    w.randomize(random);
    bias.randomize(random);
    const Sets sets(backend, 1, groups.units, density, random);
    LinearArgs args{x.device(), w.device(), bias.device_floats(), whole.device()};
    backend.linear(args, StreamId::kMain);
    whole.download();
    const auto left_out = [&](std::int64_t row) {
      return row < groups.units * groups.rows && !sets.has(0, static_cast<int>(row / groups.rows));
    };
    for (std::int64_t row = 0; row < out; ++row) {
      if (!left_out(row)) continue;
      std::memset(w.host().row(row), kPoison, static_cast<std::size_t>(in) * dtype_size(dtype));
    }
    w.upload();
    args.y = y.device();
    args.row_mask = sets.device();
    args.group_rows = groups.rows;
    backend.linear(args, StreamId::kMain);
    y.download();
    std::int64_t different = 0;
    for (std::int64_t t = 0; t < tokens; ++t) {
      for (std::int64_t row = 0; row < out; ++row) {
        if (!left_out(row)) different += y.at(t, row) == whole.at(t, row) ? 0 : 1;
      }
    }
    CHECK(different == 0);
    CHECK(y.padding_intact());
  }
}

// One token whose heads that are out are zero; `rest` is not used.
void check_project_mask(Backend& backend, DType dtype, const Groups& groups, double density) {
  std::mt19937 random(33);
  const std::int64_t in = groups.units * groups.rows;
  const std::int64_t out = 136;
  INFO("groups " << groups.units << " of " << groups.rows << " density " << density);
  Operand x(backend, {1, in, dtype, {}});
  Operand w(backend, {in, out, dtype, groups.layout});
  Operand bias(backend, {1, out, DType::kF32, {}});
  x.randomize(random);
  w.randomize(random, 0.1F);
  bias.randomize(random);
  const Sets sets(backend, 1, groups.units, density, random);
  const auto left_out = [&](std::int64_t row) {
    return !sets.has(0, static_cast<int>(row / groups.rows));
  };
  for (std::int64_t row = 0; row < in; ++row)
    if (left_out(row)) store_element(x.host().row(0), dtype, static_cast<std::size_t>(row), 0.0F);
  x.upload();
  std::vector<unsigned char> first;
  for (int run = 0; run < 3; ++run) {
    std::mt19937 again(34);
    Operand y(backend, {1, out, DType::kF32, {1, 1}});
    y.randomize(again);
    ProjectArgs args{x.host(), w.host(), bias.host_floats(), y.host(), true};
    const auto expected = reference::project(args);
    if (run == 0) {
      for (std::int64_t row = 0; row < in; ++row)
        if (left_out(row))
          std::memset(w.host().row(row), kPoison,
                      static_cast<std::size_t>(out) * dtype_size(dtype));
      w.upload();
      for (std::int64_t row = 0; row < in; ++row)  // for the reference of the runs to come
        if (left_out(row))
          for (std::int64_t c = 0; c < out; ++c)
            store_element(w.host().row(row), dtype, static_cast<std::size_t>(c), 0.0F);
    }
    args = {x.device(), w.device(), bias.device_floats(), y.device(), true, true};
    args.row_mask = sets.device();
    args.group_rows = groups.rows;
    backend.project(args, StreamId::kMain);
    y.download();
    CHECK(relative_error(y, expected) <= tolerance(DType::kF32));
    CHECK(y.padding_intact());
    const auto bits = y.row_bytes(0);
    if (run == 0) first = bits;
    CHECK((bits == first));
  }
}

}  // namespace

TEST_CASE("project leaves out the rows of groups that are out") {
  for_each_path([](Backend& backend, DType dtype) {
    for (const double density : {0.0, 0.3, 1.0}) {
      check_project_mask(backend, dtype, {8, 64, 0, {}}, density);
      check_project_mask(backend, dtype, {5, 33, 0}, density);
      check_project_mask(backend, dtype, {56, 40, 0, {}}, density);
      check_project_mask(backend, dtype, {700, 3, 0, {}}, density);
    }
  });
}

TEST_CASE("linear leaves out the rows of groups that are out and gives the others' bits") {
  for_each_path([](Backend& backend, DType dtype) {
    for (const double density : {0.0, 0.5, 1.0}) {
      check_row_mask(backend, dtype, {8, 64, 128}, density);
      check_row_mask(backend, dtype, {5, 33, 17}, density);
      check_row_mask(backend, dtype, {40, 4, 0}, density);
      check_row_mask(backend, dtype, {6, 16, 33, {}}, density);
    }
  });
}

TEST_CASE("attention zeroes the groups that are out and gives the others' bits") {
  for_each_path([](Backend& backend, DType dtype) {
    constexpr int kHeads = 6;
    constexpr int kKvHeads = 3;
    constexpr int kDim = 40;
    constexpr std::int64_t kWidth = kHeads * kDim;
    constexpr int kPages = 16;
    // Sequences of 1, 20 and 1 tokens, with contexts of 100, 50 and 1.
    const Indices starts(backend, {0, 1, 21, 22});
    const Indices contexts(backend, {100, 50, 1});
    const Indices table(backend,
                        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, -1, -1, -1, 11, -1, -1, -1, -1, -1, -1});
    constexpr std::int64_t kTokens = 22;
    for (const double density : {0.0, 0.4, 1.0}) {
      INFO("density " << density);
      std::mt19937 random(32);
      Operand q(backend, {kTokens, kWidth, DType::kF32, {}});
      Operand k(backend, {kPages * kKvHeads * kKvPageTokens, kDim, dtype, {}});
      Operand v(backend, {kPages * kKvHeads * kKvPageTokens, kDim, dtype, {}});
      Operand whole(backend, {kTokens, kWidth, dtype, {}});
      Operand out(backend, {kTokens, kWidth, dtype, {2, 1}});
      q.randomize(random);
      k.randomize(random);
      v.randomize(random);
      const Sets sets(backend, kTokens, kKvHeads, density, random);
      AttentionArgs args;
      args.q = q.device();
      args.cache = {k.device().data, v.device().data, dtype, kPages, kKvHeads, kDim};
      args.sequences = 3;
      args.query_start = starts.device();
      args.context_length = contexts.device();
      args.page_table = table.device();
      args.page_table_stride = 7;
      args.scale = 0.15F;
      args.out = whole.device();
      backend.attention(args, StreamId::kMain);
      whole.download();
      constexpr std::int64_t kGroupWidth = kWidth / kKvHeads;
      for (std::int64_t t = 0; t < kTokens; ++t) {  // q of what is out may be anything
        for (std::int64_t c = 0; c < kWidth; ++c) {
          if (sets.has(t, static_cast<int>(c / kGroupWidth))) continue;
          store_element(q.host().row(t), DType::kF32, static_cast<std::size_t>(c), NAN);
        }
      }
      q.upload();
      for (int g = 0; g < kKvHeads; ++g) {  // the first sequence's K and V of what is out
        if (sets.has(0, g)) continue;
        for (int page = 0; page < 7; ++page) {
          for (int i = 0; i < kKvPageTokens; ++i) {
            const std::int64_t row = (page * kKvHeads + g) * kKvPageTokens + i;
            const std::size_t bytes = kDim * dtype_size(dtype);
            std::memset(k.host().row(row), kPoison, bytes);
            std::memset(v.host().row(row), kPoison, bytes);
          }
        }
      }
      k.upload();
      v.upload();
      args.out = out.device();
      args.mask = sets.device();
      backend.attention(args, StreamId::kMain);
      out.download();
      std::int64_t wrong = 0;
      for (std::int64_t t = 0; t < kTokens; ++t) {
        for (std::int64_t c = 0; c < kWidth; ++c) {
          const float want = sets.has(t, static_cast<int>(c / kGroupWidth)) ? whole.at(t, c) : 0;
          wrong += out.at(t, c) == want ? 0 : 1;
        }
      }
      CHECK(wrong == 0);
      CHECK(out.padding_intact());
    }
  });
}
