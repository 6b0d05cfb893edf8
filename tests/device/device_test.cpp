// What an asynchronous backend adds: order between streams, marks, recordings, and failures that
// come out where the step loop looks for them.
#include <catch2/catch.hpp>

#include "tests/backend/backends.h"
#include "tests/backend/op_data.h"

using namespace dejavu;

namespace {

constexpr std::int64_t kWidth = 1000;

NormArgs doubling(const Matrix& x, const Matrix& out) {
  NormArgs args;
  args.kind = NormKind::kLayerNorm;
  args.x = x;
  args.out = out;
  return args;
}

}  // namespace

TEST_CASE("memory is zero-filled and copies arrive") {
  for (const NamedBackend& named : test_backends()) {
    Backend& backend = *named.backend;
    for (const std::size_t bytes : {std::size_t{1}, std::size_t{4097}, std::size_t{5} << 20}) {
      std::vector<unsigned char> host(bytes, 7);
      const Buffer block = std::move(backend.allocate(bytes).value());
      backend.download(host.data(), block.data(), bytes, StreamId::kMain);
      REQUIRE(backend.synchronize(StreamId::kMain));
      CHECK(std::count(host.begin(), host.end(), 0) == static_cast<std::ptrdiff_t>(bytes));
      for (std::size_t i = 0; i < bytes; ++i) host[i] = static_cast<unsigned char>(i * 31 + 1);
      const std::vector<unsigned char> sent = host;
      backend.upload(block.data(), host.data(), bytes, StreamId::kMain);
      std::fill(host.begin(), host.end(), 0);  // an upload takes its bytes at once
      backend.download(host.data(), block.data(), bytes, StreamId::kMain);
      REQUIRE(backend.synchronize(StreamId::kMain));
      CHECK((host == sent));
    }
  }
}

TEST_CASE("more memory than there is is refused with the numbers, and less is still given") {
  for (const NamedBackend& named : test_backends()) {
    const auto refused = named.backend->allocate(std::size_t{1} << 42);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kResourceExhausted);
    CHECK(refused.error().message.find("4194304 MiB") != std::string::npos);
    CHECK(named.backend->allocate(1 << 20));
    CHECK(named.backend->synchronize(StreamId::kMain));
  }
}

TEST_CASE("a wait delivers what was downloaded before its mark") {
  for (const NamedBackend& named : test_backends()) {
    Backend& backend = *named.backend;
    const Buffer block = std::move(backend.allocate(64).value());
    std::vector<std::int32_t> got(6, -1);
    std::vector<std::uint64_t> marks;
    for (std::int32_t i = 0; i < 6; ++i) {
      backend.upload(block.data(), &i, sizeof i, StreamId::kMain);
      backend.download(&got[static_cast<std::size_t>(i)], block.data(), 4, StreamId::kMain);
      marks.push_back(backend.mark(StreamId::kMain));
    }
    REQUIRE(backend.wait(marks[2]));
    CHECK(std::vector(got.begin(), got.begin() + 3) == std::vector<std::int32_t>{0, 1, 2});
    REQUIRE(backend.wait(marks[5]));
    CHECK(got == std::vector<std::int32_t>{0, 1, 2, 3, 4, 5});
  }
}

TEST_CASE("streams see each other's work where they are ordered, recorded or not") {
  for (const NamedBackend& named : test_backends()) {
    Backend& backend = *named.backend;
    std::mt19937 random(61);
    std::vector<Operand> chain;
    for (int i = 0; i < 13; ++i)
      chain.emplace_back(backend, Operand::Shape{300, kWidth, DType::kF32, {}});
    chain.front().randomize(random);
    const auto run = [&] {
      for (std::size_t i = 0; i + 1 < chain.size(); ++i) {
        const bool side = i % 3 == 2;
        if (side) backend.order(StreamId::kMain, StreamId::kSide);
        backend.norm(doubling(chain[i].device(), chain[i + 1].device()),
                     side ? StreamId::kSide : StreamId::kMain);
        if (side) backend.order(StreamId::kSide, StreamId::kMain);
      }
    };
    run();
    chain.back().download();
    std::vector<unsigned char> want;
    for (std::int64_t r = 0; r < 300; ++r) {
      const auto row = chain.back().row_bytes(r);
      want.insert(want.end(), row.begin(), row.end());
    }
    for (int again = 0; again < 5; ++again) {
      for (std::size_t i = 1; i < chain.size(); ++i) chain[i].poison();
      backend.replay({1, 2, 3}, run);
      chain.back().download();
      std::vector<unsigned char> got;
      for (std::int64_t r = 0; r < 300; ++r) {
        const auto row = chain.back().row_bytes(r);
        got.insert(got.end(), row.begin(), row.end());
      }
      INFO("time " << again);
      CHECK((got == want));
    }
  }
}

TEST_CASE("a device failure is what synchronize and wait report, from then on") {
  for (const NamedBackend& named : test_backends()) {
    Backend& backend = *named.backend;
    REQUIRE(backend.synchronize(StreamId::kMain));
    const int value = 1;
    backend.upload(nullptr, &value, sizeof value, StreamId::kMain);
    const std::uint64_t mark = backend.mark(StreamId::kMain);
    const Status waited = backend.wait(mark);
    REQUIRE_FALSE(waited);
    CHECK(waited.error().code == ErrorCode::kInternal);
    CHECK(waited.error().message.find("CUDA: ") != std::string::npos);
    CHECK(waited.error().message.find("staging.cpp:") != std::string::npos);
    CHECK_FALSE(backend.synchronize(StreamId::kSide));
  }
}

TEST_CASE("the read bandwidth is measured on the device") {
  for (const NamedBackend& named : test_backends())
    CHECK(named.backend->measure_read_bandwidth(std::size_t{256} << 20) > 10);
}
