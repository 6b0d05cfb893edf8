// The instruction sets the CPU kernels are written for, and the choice among them at start.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/core/result.h"

namespace dejavu {

enum class CpuIsa : std::uint8_t {
  kAvx2,        // F32 FMA, F16C
  kAvx512,      // F32 FMA
  kAvx512Bf16,  // VDPBF16PS for BF16 weights
  kAmx,         // TDPBF16PS for BF16 weights
};

inline constexpr CpuIsa kCpuIsas[] = {CpuIsa::kAvx2, CpuIsa::kAvx512, CpuIsa::kAvx512Bf16,
                                      CpuIsa::kAmx};

std::string_view isa_name(CpuIsa isa);

// What this CPU and its kernel allow, slowest first. Asks the kernel for the tile registers.
std::vector<CpuIsa> supported_isas();

// The best supported one, or the named one. The error names what the machine has.
Result<CpuIsa> choose_isa(std::string_view name);

}  // namespace dejavu
