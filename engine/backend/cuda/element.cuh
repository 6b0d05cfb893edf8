// Elements of the three dtypes on the device, alone and sixteen bytes at a time, and reductions in
// a fixed order.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "engine/core/tensor_view.h"

namespace dejavu::cuda {

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(__half x) { return __half2float(x); }
__device__ inline float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

template <class E>
__device__ E from_float(float x);
template <>
__device__ inline float from_float<float>(float x) {
  return x;
}
template <>
__device__ inline __half from_float<__half>(float x) {
  return __float2half_rn(x);
}
template <>
__device__ inline __nv_bfloat16 from_float<__nv_bfloat16>(float x) {
  return __float2bfloat16_rn(x);
}

// Elements in sixteen bytes.
template <class E>
constexpr int kPack = static_cast<int>(16 / sizeof(E));

__device__ inline void unpack(const uint4& raw, float (&out)[4], float) {
  out[0] = __uint_as_float(raw.x);
  out[1] = __uint_as_float(raw.y);
  out[2] = __uint_as_float(raw.z);
  out[3] = __uint_as_float(raw.w);
}
__device__ inline void unpack(const uint4& raw, float (&out)[8], __nv_bfloat16) {
  const unsigned words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    out[2 * i] = __uint_as_float(words[i] << 16);
    out[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000U);
  }
}
__device__ inline void unpack(const uint4& raw, float (&out)[8], __half) {
  const unsigned words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float2 two = __half22float2(*reinterpret_cast<const __half2*>(&words[i]));
    out[2 * i] = two.x;
    out[2 * i + 1] = two.y;
  }
}
template <class E>
__device__ void unpack(const uint4& raw, float (&out)[kPack<E>]) {
  unpack(raw, out, E{});
}

// Sixteen bytes of weights: read once, so they need not stay in the cache.
__device__ inline uint4 load_stream(const void* from) {
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(from));
  return v;
}
__device__ inline uint4 load_16(const void* from) { return *static_cast<const uint4*>(from); }

// Element of a matrix whose dtype is known at run time.
__device__ inline float load_any(DType dtype, const void* data, std::int64_t index) {
  switch (dtype) {
    case DType::kF32:
      return static_cast<const float*>(data)[index];
    case DType::kF16:
      return __half2float(static_cast<const __half*>(data)[index]);
    case DType::kBF16:
      break;
  }
  return __bfloat162float(static_cast<const __nv_bfloat16*>(data)[index]);
}
__device__ inline void store_any(DType dtype, void* data, std::int64_t index, float value) {
  switch (dtype) {
    case DType::kF32:
      static_cast<float*>(data)[index] = value;
      return;
    case DType::kF16:
      static_cast<__half*>(data)[index] = __float2half_rn(value);
      return;
    case DType::kBF16:
      static_cast<__nv_bfloat16*>(data)[index] = __float2bfloat16_rn(value);
  }
}

constexpr unsigned kAllLanes = 0xffffffffU;

// Sum over groups of `kWidth` neighbouring lanes, in every lane of the group.
template <int kWidth = 32>
__device__ float lane_sum(float x) {
#pragma unroll
  for (int step = kWidth / 2; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
  return x;
}

// Sum over the block, in every thread. `room`: 32 floats of shared memory. Barriers inside.
__device__ inline float block_sum(float x, float* room) {
  x = lane_sum(x);
  const int lane = static_cast<int>(threadIdx.x % 32);
  __syncthreads();
  if (lane == 0) room[threadIdx.x / 32] = x;
  __syncthreads();
  return lane_sum(lane < static_cast<int>(blockDim.x / 32) ? room[lane] : 0.0F);
}

// True in every thread of the block that draws the last of `count` numbers, which then sees what
// the others wrote before they drew theirs. `ticket` is zero before and after. Barriers inside.
__device__ inline bool arrives_last(unsigned* ticket, unsigned count) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    last = atomicAdd(ticket, 1U) == count - 1;
    if (last) *ticket = 0;
  }
  __syncthreads();
  if (last) __threadfence();
  return last;
}

// Calls f(E{}) with the dtype's element type.
template <class F>
void with_element(DType dtype, const F& f) {
  switch (dtype) {
    case DType::kF32:
      return f(float{});
    case DType::kF16:
      return f(__half{});
    case DType::kBF16:
      return f(__nv_bfloat16{});
  }
}

// Rows start on sixteen bytes and hold whole packs.
inline bool packed_rows(const ConstMatrix& m) {
  const auto pack = static_cast<std::int64_t>(16 / dtype_size(m.dtype));
  return reinterpret_cast<std::uintptr_t>(m.data) % 16 == 0 && m.stride % pack == 0 &&
         m.cols % pack == 0;
}

template <class E>
struct DeviceRows {
  const E* data = nullptr;
  std::int64_t stride = 0;
  __device__ explicit DeviceRows(const ConstMatrix& m)
      : data(static_cast<const E*>(m.data)), stride(m.stride) {}
  __device__ const E* row(std::int64_t r) const { return data + r * stride; }
};

}  // namespace dejavu::cuda
