#include "engine/backend/cpu/isa.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <iostream>

#include "engine/backend/factory.h"

using namespace dejavu;

namespace {

// The op tests loop over the paths this machine has. One case a path says which those are: ctest
// counts the others as skipped.
void require_path(CpuIsa isa) {
  const std::vector<CpuIsa> supported = supported_isas();
  if (std::find(supported.begin(), supported.end(), isa) == supported.end()) {
    std::cout << "SKIPPED: this CPU has no " << isa_name(isa) << "\n";
    return;
  }
  BackendOptions options;
  options.cpu_isa = isa_name(isa);
  const auto backend = make_cpu_backend(options);
  REQUIRE(backend);
  CHECK((*backend)->info().description.find(isa_name(isa)) != std::string::npos);
}

}  // namespace

TEST_CASE("the avx2 path runs here") { require_path(CpuIsa::kAvx2); }
TEST_CASE("the avx512 path runs here") { require_path(CpuIsa::kAvx512); }
TEST_CASE("the avx512_bf16 path runs here") { require_path(CpuIsa::kAvx512Bf16); }
TEST_CASE("the amx path runs here") { require_path(CpuIsa::kAmx); }

TEST_CASE("the best path is the default") {
  REQUIRE(choose_isa(""));
  CHECK(*choose_isa("") == supported_isas().back());
}

TEST_CASE("an unknown or unsupported path is refused with what the machine has") {
  const auto unknown = choose_isa("sse2");
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().code == ErrorCode::kInvalidArgument);
  CHECK(unknown.error().message.find("avx2") != std::string::npos);
  const std::vector<CpuIsa> supported = supported_isas();
  for (const CpuIsa isa : kCpuIsas) {
    const bool there = std::find(supported.begin(), supported.end(), isa) != supported.end();
    CHECK(choose_isa(isa_name(isa)).has_value() == there);
  }
}
