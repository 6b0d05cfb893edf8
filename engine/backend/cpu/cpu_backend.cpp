#include "engine/backend/cpu/cpu_backend.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>

#include "engine/backend/cpu/token_sets.h"
#include "engine/backend/cpu/work_sizes.h"
#include "engine/backend/factory.h"

namespace dejavu {
namespace {

// Rows a prefill attention item aims at: queries times the heads of a KV group.
constexpr int kAttentionRows = 64;

std::string mebibytes(std::size_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

int thread_count(const BackendOptions& options, const HostResources& host) {
  return options.threads > 0 ? options.threads : host.threads;
}

std::vector<int> pinned_cpus(const BackendOptions& options, const HostResources& host) {
  return options.pin || host.exclusive_cpus ? host.cpus : std::vector<int>{};
}

// The parts of an item whose tokens have its KV group in their sets; the others' output is zero.
void add_attention_items(const AttentionArgs& args, const AttentionItem& item,
                         std::vector<AttentionItem>& items) {
  if (args.mask.words == nullptr) return items.push_back(item);
  const std::int64_t width = args.out.cols / args.cache.kv_heads;
  const std::size_t bytes = static_cast<std::size_t>(width) * dtype_size(args.out.dtype);
  AttentionItem part = item;
  part.queries = 0;
  const auto flush = [&] {
    if (part.queries > 0) items.push_back(part);
    part.queries = 0;
  };
  for (int i = item.first_query; i < item.first_query + item.queries; ++i) {
    const std::int64_t token = args.query_start[item.sequence] + i;
    if (in_set(args.mask, token, item.kv_head)) {
      if (part.queries++ == 0) part.first_query = i;
      continue;
    }
    flush();
    auto* out = static_cast<std::byte*>(args.out.row(token));
    std::memset(out + static_cast<std::size_t>(item.kv_head) * bytes, 0, bytes);
  }
  flush();
}

}  // namespace

void* CpuBackend::Workspace::get(std::size_t bytes) {
  constexpr std::size_t kAlignment = 64;
  if (storage_.size() < bytes + kAlignment) storage_ = std::vector<std::byte>(bytes + kAlignment);
  void* start = storage_.data();
  std::size_t space = storage_.size();
  return std::align(kAlignment, bytes, start, space);
}

CpuBackend::CpuBackend(const BackendOptions& options, CpuIsa isa, const HostResources& host)
    : kernels_(kernels_of(isa)),
      pool_(thread_count(options, host), pinned_cpus(options, host)),
      in_use_(std::make_shared<std::atomic<std::size_t>>(0)),
      scratch_(static_cast<std::size_t>(pool_.threads())),
      sample_scratch_(static_cast<std::size_t>(pool_.threads())) {
  const std::string source = options.threads > 0 ? "--threads" : host.threads_source;
  info_.device = "cpu";
  info_.description = "CPU " + std::string(isa_name(isa)) + ", " + std::to_string(pool_.threads()) +
                      " threads (" + source + ")";
  if (!pinned_cpus(options, host).empty()) info_.description += ", pinned";
  info_.threads = pool_.threads();
  info_.memory_bytes = host.memory_bytes;
  info_.memory_source = host.memory_source;
  info_.native_bf16 = true;
}

Result<Buffer> CpuBackend::allocate(std::size_t bytes) {
  const std::size_t used = in_use_->load();
  if (bytes > info_.memory_bytes || used > info_.memory_bytes - bytes) {
    return fail(ErrorCode::kResourceExhausted,
                "not enough memory: " + mebibytes(bytes) + " asked for, " + mebibytes(used) +
                    " in use, limit " + mebibytes(info_.memory_bytes) + " (" + info_.memory_source +
                    ")");
  }
  Result<Buffer> block = arena_.allocate(bytes);
  if (!block) return block;
  in_use_->fetch_add(bytes);
  auto owned = std::make_shared<Buffer>(std::move(*block));
  return Buffer(owned->data(), bytes,
                [owned, in_use = in_use_](void*, std::size_t size) { in_use->fetch_sub(size); });
}

void CpuBackend::upload(void* device, const void* host, std::size_t bytes, StreamId /*stream*/) {
  finish_predict();
  if (bytes > 0) std::memcpy(device, host, bytes);
}

void CpuBackend::download(void* host, const void* device, std::size_t bytes, StreamId /*stream*/) {
  finish_predict();
  if (bytes > 0) std::memcpy(host, device, bytes);
}

// Runs body(token) for each token; on every worker when there is enough to do.
void CpuBackend::for_tokens(std::int64_t tokens, std::int64_t width,
                            const std::function<void(std::int64_t)>& body) {
  const std::int64_t tokens_an_item = std::max<std::int64_t>(1, kSmallWork / width);
  pool_.parallel_for(ceil_div(tokens, tokens_an_item), [&](std::int64_t item, int) {
    const std::int64_t end = std::min(tokens, (item + 1) * tokens_an_item);
    for (std::int64_t t = item * tokens_an_item; t < end; ++t) body(t);
  });
}

void CpuBackend::embed(const EmbedArgs& args, StreamId /*stream*/) {
  for_tokens(args.out.rows, args.out.cols, [&](std::int64_t t) { kernels_.embed(args, t); });
}

void CpuBackend::norm(const NormArgs& args, StreamId /*stream*/) {
  for_tokens(args.x.rows, args.x.cols, [&](std::int64_t t) { kernels_.norm(args, t); });
}

void CpuBackend::store_kv(const StoreKvArgs& args, StreamId /*stream*/) {
  for_tokens(args.k.rows, args.q.cols, [&](std::int64_t t) { kernels_.store_kv(args, t); });
}

void CpuBackend::attention(const AttentionArgs& args, StreamId /*stream*/) {
  finish_predict();
  const auto group = static_cast<int>(args.q.cols / args.cache.head_dim / args.cache.kv_heads);
  const int block = std::max(1, kAttentionRows / group);
  std::vector<AttentionItem> items;
  for (int s = 0; s < args.sequences; ++s) {
    const int queries = args.query_start[s + 1] - args.query_start[s];
    // The last queries see most: they start first.
    for (int last = queries; last > 0; last -= block) {
      const int first = std::max(0, last - block);
      for (int g = 0; g < args.cache.kv_heads; ++g) {
        add_attention_items(args, {s, g, first, last - first}, items);
      }
    }
  }
  const std::size_t floats = kernels_.attention.scratch_floats(args, block);
  const auto count = static_cast<std::int64_t>(items.size());
  for (std::size_t i = 1; i < items.size(); ++i) items[i - 1].next = &items[i];
  for (std::int64_t begin = 0; begin < count; begin += WorkerPool::kMaxItems) {
    const std::int64_t some = std::min(count - begin, WorkerPool::kMaxItems);
    pool_.parallel_for(some, [&](std::int64_t item, int worker) {
      Workspace& scratch = scratch_[static_cast<std::size_t>(worker)];
      kernels_.attention.run(args, items[static_cast<std::size_t>(begin + item)],
                             static_cast<float*>(scratch.get(floats * sizeof(float))));
    });
  }
}

void CpuBackend::set_sampler_slot(const SamplerSlotArgs& args, StreamId /*stream*/) {
  sampler_.set_slot(args);
}

void CpuBackend::sample(const SampleArgs& args, StreamId /*stream*/) {
  pool_.parallel_for(args.count, [&](std::int64_t row, int worker) {
    sampler_.sample_row(args, static_cast<int>(row),
                        sample_scratch_[static_cast<std::size_t>(worker)]);
  });
  sampler_.commit(args);
}

double CpuBackend::measure_read_bandwidth(std::size_t bytes) {
  constexpr std::size_t kItem = std::size_t{4} << 20;
  const std::size_t rounded = std::max<std::size_t>(1, bytes / kItem) * kItem;
  if (probe_.bytes() < rounded) {
    probe_ = Buffer();
    Result<Buffer> block = allocate(rounded);
    if (!block) return 0;
    probe_ = std::move(*block);
    // Pages never written share one page of zeros, which stays in the cache.
    pool_.parallel_for(static_cast<std::int64_t>(rounded / kItem), [&](std::int64_t item, int) {
      std::memset(probe_.as<std::byte>() + static_cast<std::size_t>(item) * kItem, 1, kItem);
    });
  }
  const auto* data = probe_.as<std::byte>();
  std::atomic<float> sink{0};
  const auto start = std::chrono::steady_clock::now();
  pool_.parallel_for(static_cast<std::int64_t>(rounded / kItem), [&](std::int64_t item, int) {
    const float sum = kernels_.read(data + static_cast<std::size_t>(item) * kItem, kItem);
    if (sum != 0) sink.store(sum);
  });
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  return static_cast<double>(rounded) / elapsed.count() / 1e9;
}

CpuKernels kernels_of(CpuIsa isa) {
  if (isa == CpuIsa::kAvx2) return avx2_kernels();
  CpuKernels kernels = avx512_kernels();
  if (isa == CpuIsa::kAvx512) return kernels;
  const CpuKernels& bf16 = isa == CpuIsa::kAmx ? amx_kernels() : avx512_bf16_kernels();
  constexpr auto kBf16 = static_cast<std::size_t>(DType::kBF16);
  kernels.rows[kBf16] = bf16.rows[kBf16];
  kernels.project[kBf16] = bf16.project[kBf16];
  kernels.gather[kBf16] = bf16.gather[kBf16];
  if (isa == CpuIsa::kAmx) kernels.predict = bf16.predict;
  return kernels;
}

Result<std::unique_ptr<Backend>> make_cpu_backend(const BackendOptions& options) {
  const Result<CpuIsa> isa = choose_isa(options.cpu_isa);
  if (!isa) return tl::unexpected<Error>(isa.error());
  return std::make_unique<CpuBackend>(options, *isa, read_host_resources("/", current_affinity()));
}

}  // namespace dejavu
