#include "engine/backend/cpu/isa.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <string>

namespace dejavu {
namespace {

struct Leaf {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
};

Leaf cpuid(unsigned leaf, unsigned subleaf) {
  Leaf r;
  if (__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return {};
  return r;
}

bool bit(unsigned word, int index) { return ((word >> index) & 1U) != 0; }

// The builtins also check that the operating system saves the registers.
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         bit(cpuid(1, 0).ecx, 29);
}

bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

bool has_amx() {
  const Leaf seven = cpuid(7, 0);
  if (!bit(seven.edx, 22) || !bit(seven.edx, 24) || !bit(seven.edx, 25)) return false;
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM, for the whole process
  constexpr long kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

std::string list(const std::vector<CpuIsa>& isas) {
  std::string names;
  for (const CpuIsa isa : isas) {
    if (!names.empty()) names += ", ";
    names += isa_name(isa);
  }
  return names;
}

}  // namespace

std::string_view isa_name(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::kAvx2:
      return "avx2";
    case CpuIsa::kAvx512:
      return "avx512";
    case CpuIsa::kAvx512Bf16:
      return "avx512_bf16";
    case CpuIsa::kAmx:
      return "amx";
  }
  return "";
}

std::vector<CpuIsa> supported_isas() {
  std::vector<CpuIsa> isas;
  if (!has_avx2()) return isas;
  isas.push_back(CpuIsa::kAvx2);
  if (!has_avx512()) return isas;
  isas.push_back(CpuIsa::kAvx512);
  if (!bit(cpuid(7, 1).eax, 5)) return isas;
  isas.push_back(CpuIsa::kAvx512Bf16);
  if (has_amx()) isas.push_back(CpuIsa::kAmx);
  return isas;
}

Result<CpuIsa> choose_isa(std::string_view name) {
  const std::vector<CpuIsa> supported = supported_isas();
  if (supported.empty()) {
    return fail(ErrorCode::kUnavailable,
                "this CPU lacks AVX2, FMA or F16C, which the CPU backend needs");
  }
  if (name.empty()) return supported.back();
  const auto known = std::find_if(std::begin(kCpuIsas), std::end(kCpuIsas),
                                  [&](CpuIsa isa) { return isa_name(isa) == name; });
  if (known == std::end(kCpuIsas)) {
    return invalid("unknown CPU instruction set '" + std::string(name) + "'; this machine has " +
                       list(supported),
                   "cpu_isa");
  }
  if (std::find(supported.begin(), supported.end(), *known) == supported.end()) {
    return invalid(
        "this machine does not have " + std::string(name) + "; it has " + list(supported),
        "cpu_isa");
  }
  return *known;
}

}  // namespace dejavu
