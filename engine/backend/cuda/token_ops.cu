// embed, norm and store_kv. Tokens' rows are a few kilobytes each: what counts is latency.
#include "engine/backend/cuda/element.cuh"
#include "engine/backend/cuda/launch.cuh"
#include "engine/backend/cuda/ops.h"

namespace dejavu::cuda {
namespace {

__global__ void embed_kernel(EmbedArgs args) {
  await_inputs();
  const std::int64_t t = blockIdx.x;
  const std::int32_t id = args.ids[t] < 0 ? args.last_tokens[~args.ids[t]] : args.ids[t];
  const std::int64_t from = id * args.token_table.stride;
  std::int64_t place = 0;
  if (args.position_table.data != nullptr)
    place = (args.positions[t] + args.position_offset) * args.position_table.stride;
  for (std::int64_t i = threadIdx.x; i < args.out.cols; i += blockDim.x) {
    float v = load_any(args.token_table.dtype, args.token_table.data, from + i);
    if (args.position_table.data != nullptr)
      v += load_any(args.position_table.dtype, args.position_table.data, place + i);
    store_any(args.out.dtype, args.out.data, t * args.out.stride + i, v);
  }
}

constexpr int kNormThreads = 512;
constexpr int kHeld = 14;  // values a thread keeps: rows of up to 7168 are read once

// Calls use(column, index among the held) for the thread's columns that are held.
template <class Use>
__device__ void for_held(std::int64_t width, const Use& use) {
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const std::int64_t c = threadIdx.x + std::int64_t{i} * kNormThreads;
    if (c < width) use(c, i);
  }
}
// The same for the others.
template <class Use>
__device__ void for_rest(std::int64_t width, const Use& use) {
  for (std::int64_t c = threadIdx.x + std::int64_t{kHeld} * kNormThreads; c < width;
       c += kNormThreads)
    use(c);
}

// A row a block. The weights come before the row may be read.
__global__ void __launch_bounds__(kNormThreads, 2) norm_kernel(NormArgs args) {
  __shared__ float room[32];
  invite_next();
  const std::int64_t t = blockIdx.x;
  const std::int64_t width = args.x.cols;
  const auto weight_of = [&](std::int64_t c) {
    return args.weight != nullptr ? args.weight[c] : 1.0F;
  };
  const auto bias_of = [&](std::int64_t c) { return args.bias != nullptr ? args.bias[c] : 0.0F; };
  float weights[kHeld];
  float biases[kHeld];
  for_held(width, [&](std::int64_t c, int i) {
    weights[i] = weight_of(c);
    biases[i] = bias_of(c);
  });
  await_inputs();
  const float* x = static_cast<const float*>(args.x.data) + t * args.x.stride;
  float held[kHeld];
  for_held(width, [&](std::int64_t c, int i) { held[i] = x[c]; });
  const auto count = static_cast<float>(width);
  float mean = 0;
  if (args.kind == NormKind::kLayerNorm) {
    float sum = 0;
    for_held(width, [&](std::int64_t, int i) { sum += held[i]; });
    for_rest(width, [&](std::int64_t c) { sum += x[c]; });
    mean = block_sum(sum, room) / count;
  }
  const auto squared = [mean](float v) { return (v - mean) * (v - mean); };
  float square = 0;
  for_held(width, [&](std::int64_t, int i) { square += squared(held[i]); });
  for_rest(width, [&](std::int64_t c) { square += squared(x[c]); });
  const float inverse = 1.0F / sqrtf(block_sum(square, room) / count + args.epsilon);
  const auto store = [&](std::int64_t c, float v) {
    store_any(args.out.dtype, args.out.data, t * args.out.stride + c, v);
  };
  for_held(width, [&](std::int64_t c, int i) {
    store(c, (held[i] - mean) * inverse * weights[i] + biases[i]);
  });
  for_rest(width,
           [&](std::int64_t c) { store(c, (x[c] - mean) * inverse * weight_of(c) + bias_of(c)); });
}

struct Rotation {
  const float* cos = nullptr;
  const float* sin = nullptr;
  int half = 0;

  // Elements i and i + half of a head.
  __device__ float2 apply(const float* head, int i) const {
    const float x = head[i];
    const float y = head[half + i];
    return {x * cos[i] - y * sin[i], y * cos[i] + x * sin[i]};
  }
};

// A block a head: Q heads (when they are rotated), then K heads, then V heads.
__global__ void store_kv_kernel(StoreKvArgs args, int q_heads) {
  invite_next();
  await_inputs();
  const std::int64_t t = blockIdx.x;
  const int dim = args.cache.head_dim;
  const int kv_heads = args.cache.kv_heads;
  const bool rotary = args.cos != nullptr;
  const int half = dim / 2;
  const std::int64_t angles = rotary ? std::int64_t{args.positions[t]} * half : 0;
  const Rotation rotation{args.cos + angles, args.sin + angles, half};
  int head = static_cast<int>(blockIdx.y);
  if (head < q_heads) {
    float* q = static_cast<float*>(args.q.data) + t * args.q.stride + std::int64_t{head} * dim;
    for (int i = static_cast<int>(threadIdx.x); i < half; i += static_cast<int>(blockDim.x)) {
      const float2 rotated = rotation.apply(q, i);
      q[i] = rotated.x;
      q[half + i] = rotated.y;
    }
    return;
  }
  head -= q_heads;
  const bool is_key = head < kv_heads;
  if (!is_key) head -= kv_heads;
  const ConstMatrix& from = is_key ? args.k : args.v;
  const float* x =
      static_cast<const float*>(from.data) + t * from.stride + std::int64_t{head} * dim;
  const std::int64_t slot = args.slots[t];
  const std::int64_t row =
      (slot / kKvPageTokens * kv_heads + head) * kKvPageTokens + slot % kKvPageTokens;
  void* pages = is_key ? args.cache.k : args.cache.v;
  if (is_key && rotary) {
    for (int i = static_cast<int>(threadIdx.x); i < half; i += static_cast<int>(blockDim.x)) {
      const float2 rotated = rotation.apply(x, i);
      store_any(args.cache.dtype, pages, row * dim + i, rotated.x);
      store_any(args.cache.dtype, pages, row * dim + half + i, rotated.y);
    }
    return;
  }
  for (int i = static_cast<int>(threadIdx.x); i < dim; i += static_cast<int>(blockDim.x))
    store_any(args.cache.dtype, pages, row * dim + i, x[i]);
}

}  // namespace

void embed(const Queue& queue, const EmbedArgs& args) {
  launch(queue, grid(dim3(static_cast<unsigned>(args.out.rows)), 256), embed_kernel, args);
}

void norm(const Queue& queue, const NormArgs& args) {
  launch(queue, grid(dim3(static_cast<unsigned>(args.x.rows)), kNormThreads), norm_kernel, args);
}

void store_kv(const Queue& queue, const StoreKvArgs& args) {
  const int q_heads = args.cos == nullptr ? 0 : static_cast<int>(args.q.cols / args.cache.head_dim);
  const dim3 blocks(static_cast<unsigned>(args.k.rows),
                    static_cast<unsigned>(q_heads + 2 * args.cache.kv_heads));
  launch(queue, grid(blocks, 64), store_kv_kernel, args, q_heads);
}

}  // namespace dejavu::cuda
