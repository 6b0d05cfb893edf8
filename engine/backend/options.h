// Backend choice and host resources, filled in by config/.
#pragma once

#include <cstdint>
#include <string>

namespace dejavu {

enum class DeviceChoice : std::uint8_t { kAuto, kCpu, kCuda };

struct BackendOptions {
  DeviceChoice device = DeviceChoice::kAuto;
  int threads = 0;      // 0: as many as the affinity mask and the cgroup allow
  bool pin = false;     // pin workers even when the CPUs may be shared
  std::string cpu_isa;  // "", "avx2", "avx512", "avx512_bf16", "amx": override the choice by CPUID
};

}  // namespace dejavu
