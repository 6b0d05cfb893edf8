#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdint>
#include <cstring>
#include <vector>

#include "tests/backend/backends.h"

using namespace dejavu;

namespace {

bool all_zero(const Buffer& block) {
  const auto* bytes = block.as<unsigned char>();
  for (std::size_t i = 0; i < block.bytes(); ++i) {
    if (bytes[i] != 0) return false;
  }
  return true;
}

// Bytes of the block's pages that memory stands behind: of the block alone, since a sanitizer keeps
// shadows beside it.
std::size_t resident_bytes(const Buffer& block) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> resident((block.bytes() + page - 1) / page);
  REQUIRE(mincore(block.data(), block.bytes(), resident.data()) == 0);
  std::size_t pages = 0;
  for (const unsigned char state : resident) pages += state & 1U;
  return pages * page;
}

}  // namespace

TEST_CASE("a large block takes memory as it is written") {
  constexpr std::size_t kBytes = std::size_t{256} << 20;
  constexpr std::size_t kWritten = std::size_t{64} << 20;
  constexpr std::size_t kSlack = std::size_t{2} << 20;  // a huge page
  const auto backend = std::move(make_cpu_backend(BackendOptions{}).value());
  const Buffer block = std::move(backend->allocate(kBytes).value());
  CHECK(resident_bytes(block) <= kSlack);
  std::memset(block.data(), 0xff, kWritten);
  const std::size_t written = resident_bytes(block);
  CHECK(written >= kWritten);
  CHECK(written <= kWritten + kSlack);
  const auto* bytes = block.as<unsigned char>();
  std::size_t dirty = 0;
  for (std::size_t i = kWritten; i < kBytes; ++i) dirty += bytes[i] == 0 ? 0 : 1;
  CHECK(dirty == 0);
}

TEST_CASE("memory is zero-filled and aligned, small and large") {
  const auto backend = std::move(make_cpu_backend(BackendOptions{}).value());
  for (const std::size_t bytes :
       {std::size_t{0}, std::size_t{1}, std::size_t{100}, (std::size_t{64} << 10) + 1,
        (std::size_t{2} << 20) - 1, (std::size_t{5} << 20) + 3}) {
    for (int again = 0; again < 2; ++again) {  // a block given back comes back dirty
      const Buffer block = std::move(backend->allocate(bytes).value());
      CHECK(block.bytes() == bytes);
      CHECK(reinterpret_cast<std::uintptr_t>(block.data()) % 64 == 0);
      CHECK(all_zero(block));
      if (bytes > 0) std::memset(block.data(), 0xff, bytes);
    }
  }
}

TEST_CASE("memory beyond the limit is refused with the numbers") {
  const auto backend = std::move(make_cpu_backend(BackendOptions{}).value());
  const std::size_t limit = backend->info().memory_bytes;
  const auto refused = backend->allocate(limit + 1);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kResourceExhausted);
  CHECK(refused.error().message.find(std::to_string(limit >> 20) + " MiB") != std::string::npos);
  CHECK(refused.error().message.find(backend->info().memory_source) != std::string::npos);
  // What is in use counts, until it is given back.
  {
    const Buffer held = std::move(backend->allocate(std::size_t{8} << 20).value());
    CHECK_FALSE(backend->allocate(limit - (std::size_t{4} << 20)));
  }
  CHECK(backend->allocate(std::size_t{8} << 20));
}

TEST_CASE("upload and download copy") {
  const auto backend = std::move(make_cpu_backend(BackendOptions{}).value());
  const Buffer block = std::move(backend->allocate(8).value());
  std::uint64_t out = 0x0123456789abcdefULL;
  std::uint64_t back = 0;
  backend->upload(block.data(), &out, sizeof out, StreamId::kMain);
  backend->download(&back, block.data(), sizeof back, StreamId::kSide);
  CHECK(back == out);
  CHECK(backend->synchronize(StreamId::kMain));
}

TEST_CASE("the read bandwidth is measured") {
  const auto backend = std::move(make_cpu_backend(BackendOptions{}).value());
  CHECK(backend->measure_read_bandwidth(std::size_t{64} << 20) > 0.1);
}
