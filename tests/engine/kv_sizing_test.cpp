#include "engine/kv_sizing.h"

#include <catch2/catch.hpp>

using namespace dejavu;

namespace {

constexpr std::size_t kGiB = std::size_t{1} << 30;
constexpr std::size_t kPage = 1 << 20;

BackendInfo gpu() {
  BackendInfo info;
  info.device = "cuda";
  info.memory_bytes = 80 * kGiB;
  info.memory_source = "free of the GPU's 81920 MiB";
  return info;
}

// One sequence is 64 pages.
constexpr KvDemand kDemand{60 * kGiB, kPage, 1024};

}  // namespace

TEST_CASE("the KV cache takes a GPU's memory up to the share asked for", "[kv]") {
  EngineOptions options;
  CHECK(kv_page_count(gpu(), kDemand, options).value() == 12 * 1024);  // 0.9 * 80 - 60 GiB
  options.gpu_memory_utilization = 1;
  CHECK(kv_page_count(gpu(), kDemand, options).value() == 20 * 1024);
  options.kv_cache_bytes = 3 * kGiB;  // wins on any device
  CHECK(kv_page_count(gpu(), kDemand, options).value() == 3 * 1024);
}

TEST_CASE("a model that leaves a GPU no room is refused with the numbers", "[kv]") {
  EngineOptions options;
  options.gpu_memory_utilization = 0.75;  // 60 GiB: the weights alone
  const auto refused = kv_page_count(gpu(), kDemand, options);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kResourceExhausted);
  for (const char* part : {"64.0 MiB of KV cache", "0.0 MiB of 81920.0 MiB",
                           "gpu-memory-utilization lets us use 61440.0 MiB",
                           "61440.0 MiB of weights", "--max-model-len"})
    CHECK_THAT(refused.error().message, Catch::Contains(part));
  KvDemand large = kDemand;
  large.weight_bytes = 100 * kGiB;
  options.gpu_memory_utilization = 0.9;
  CHECK_FALSE(kv_page_count(gpu(), large, options));
}

TEST_CASE("on a host the share of a GPU says nothing", "[kv]") {
  BackendInfo host = gpu();
  host.device = "cpu";
  EngineOptions options;
  options.max_num_seqs = 4096;
  const int pages = kv_page_count(host, kDemand, options).value();
  CHECK(pages == 5 * 1024);  // a quarter of what the weights leave
  options.gpu_memory_utilization = 0.1;
  CHECK(kv_page_count(host, kDemand, options).value() == pages);
}
