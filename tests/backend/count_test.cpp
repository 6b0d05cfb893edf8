#include <catch2/catch.hpp>

#include "tests/backend/backends.h"
#include "tests/backend/op_data.h"

using namespace dejavu;

TEST_CASE("elements that are not zero are counted by row, and columns over all rows", "[count]") {
  std::mt19937 random(1);
  for (const NamedBackend& named : test_backends()) {
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      for (const int rows : {1, 3, 40}) {
        for (const int units : {1, 31, 2048, 5001}) {
          INFO(named.name << " " << dtype_name(dtype) << " " << rows << " x " << units);
          Operand x(*named.backend, {rows, units, dtype, {.pad = 3, .offset = 1}});
          x.randomize(random, 1, 0.9);
          // A zero has a sign, too.
          store_element(x.host().row(0), dtype, 0, -0.0F);
          x.upload();
          std::vector<std::int32_t> expected(static_cast<std::size_t>(rows) + 1);
          for (std::int64_t c = 0; c < units; ++c) {
            bool any = false;
            for (std::int64_t r = 0; r < rows; ++r) {
              const bool there =
                  load_element(x.host().row(r), dtype, static_cast<std::size_t>(c)) != 0;
              expected[static_cast<std::size_t>(r)] += static_cast<int>(there);
              any |= there;
            }
            expected.back() += static_cast<int>(any);
          }
          std::vector<std::int32_t> counted(expected.size(), -1);
          const std::size_t bytes = counted.size() * sizeof(std::int32_t);
          const Buffer counts = named.backend->allocate(bytes).value();
          named.backend->upload(counts.data(), counted.data(), bytes, StreamId::kMain);
          auto* out = counts.as<std::int32_t>();
          named.backend->count_nonzero({x.device(), out, out + rows}, StreamId::kMain);
          named.backend->download(counted.data(), out, bytes, StreamId::kMain);
          REQUIRE(named.backend->synchronize(StreamId::kMain));
          CHECK(counted == expected);
        }
      }
    }
  }
}
