// attention against the double reference, on every backend.
#include <catch2/catch.hpp>

#include "tests/backend/backends.h"
#include "tests/backend/op_data.h"
#include "tests/support/reference_ops.h"

using namespace dejavu;

namespace {

struct Sequence {
  int queries;
  int context;
};

struct Shape {
  int heads;
  int kv_heads;
  int dim;
  int window;
};

void check_attention(Backend& backend, DType dtype, const Shape& shape,
                     const std::vector<Sequence>& sequences) {
  std::mt19937 random(4);
  std::vector<std::int32_t> query_start = {0};
  std::vector<std::int32_t> context;
  int longest = 0;
  int used = 0;
  for (const Sequence& s : sequences) {
    query_start.push_back(query_start.back() + s.queries);
    context.push_back(s.context);
    longest = std::max(longest, (s.context + kKvPageTokens - 1) / kKvPageTokens);
    used += (s.context + kKvPageTokens - 1) / kKvPageTokens;
  }
  const int stride = longest + 1;
  const int pages = used + 2;
  std::vector<std::int32_t> order(static_cast<std::size_t>(pages));
  for (int i = 0; i < pages; ++i) order[static_cast<std::size_t>(i)] = i;
  std::shuffle(order.begin(), order.end(), random);
  std::vector<std::int32_t> table(sequences.size() * static_cast<std::size_t>(stride), -1);
  std::size_t next = 0;
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    for (int p = 0; p * kKvPageTokens < sequences[s].context; ++p) {
      table[s * static_cast<std::size_t>(stride) + static_cast<std::size_t>(p)] = order[next++];
    }
  }

  const std::int64_t tokens = query_start.back();
  const std::int64_t kv_rows = static_cast<std::int64_t>(pages) * shape.kv_heads * kKvPageTokens;
  Operand q(backend, {tokens, shape.heads * shape.dim, DType::kF32, {3, 1}});
  Operand k(backend, {kv_rows, shape.dim, dtype, {}});
  Operand v(backend, {kv_rows, shape.dim, dtype, {}});
  Operand out(backend, {tokens, shape.heads * shape.dim, dtype, {5, 2}});
  q.randomize(random);
  k.randomize(random);
  v.randomize(random);
  // What lies past a sequence's context, or in nobody's page, is never read.
  const KvView host_cache{k.host().data, v.host().data, dtype, pages, shape.kv_heads, shape.dim};
  std::vector<bool> live(static_cast<std::size_t>(kv_rows), false);
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    for (int p = 0; p < sequences[s].context; ++p) {
      const int page =
          table[s * static_cast<std::size_t>(stride) + static_cast<std::size_t>(p / kKvPageTokens)];
      for (int g = 0; g < shape.kv_heads; ++g) {
        const int slot = page * kKvPageTokens + p % kKvPageTokens;
        live[reference::kv_index(host_cache, slot, g) / static_cast<std::size_t>(shape.dim)] = true;
      }
    }
  }
  for (std::int64_t r = 0; r < kv_rows; ++r) {
    if (live[static_cast<std::size_t>(r)]) continue;
    std::memset(k.host().row(r), kPoison, static_cast<std::size_t>(shape.dim) * dtype_size(dtype));
    std::memset(v.host().row(r), kPoison, static_cast<std::size_t>(shape.dim) * dtype_size(dtype));
  }
  k.upload();
  v.upload();

  const Indices starts(backend, query_start);
  const Indices contexts(backend, context);
  const Indices page_table(backend, table);
  AttentionArgs args;
  args.q = q.device();
  args.cache = {k.device().data, v.device().data, dtype, pages, shape.kv_heads, shape.dim};
  args.sequences = static_cast<int>(sequences.size());
  args.query_start = starts.device();
  args.context_length = contexts.device();
  args.page_table = page_table.device();
  args.page_table_stride = stride;
  args.scale = 1.0F / std::sqrt(static_cast<float>(shape.dim));
  args.window = shape.window;
  args.out = out.device();
  backend.attention(args, StreamId::kMain);
  out.download();
  args.q = q.host();
  args.cache = host_cache;
  args.query_start = starts.host();
  args.context_length = contexts.host();
  args.page_table = page_table.host();
  CHECK(relative_error(out, reference::attention(args)) <= tolerance(dtype));
  CHECK(out.padding_intact());
}

}  // namespace

TEST_CASE("attention equals the reference") {
  const std::vector<Shape> shapes = {{4, 4, 64, 0}, {8, 2, 80, 0},  {6, 3, 33, 0}, {4, 1, 128, 0},
                                     {4, 4, 96, 7}, {4, 2, 64, 40}, {3, 3, 1, 0}};
  const std::vector<std::vector<Sequence>> batches = {{{1, 1}},
                                                      {{1, 17}, {1, 300}, {1, 16}},
                                                      {{33, 33}},
                                                      {{130, 150}, {1, 5}, {2, 65}},
                                                      {{5, 600}}};
  for (const NamedBackend& named : test_backends()) {
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      for (const Shape& shape : shapes) {
        for (const auto& batch : batches) {
          INFO(named.name << " " << dtype_name(dtype) << " heads " << shape.heads << "/"
                          << shape.kv_heads << " dim " << shape.dim << " window " << shape.window
                          << " first context " << batch.front().context);
          check_attention(*named.backend, dtype, shape, batch);
        }
      }
    }
  }
}

TEST_CASE("attention on no tokens does nothing") {
  for (const NamedBackend& named : test_backends()) {
    check_attention(*named.backend, DType::kF32, {2, 2, 16, 0}, {});
  }
}
