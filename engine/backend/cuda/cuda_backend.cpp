#include "engine/backend/cuda/cuda_backend.h"

#include <algorithm>
#include <utility>

#include "engine/backend/cuda/join.h"
#include "engine/backend/cuda/ops.h"
#include "engine/backend/factory.h"

namespace dejavu::cuda {
namespace {

constexpr std::size_t kMainArena = std::size_t{256} << 20;
constexpr std::size_t kSideArena = std::size_t{64} << 20;
constexpr int kTickets = 1 << 16;
constexpr int kLeastMajor = 8;     // compute capability: BF16, asynchronous copies
constexpr int kEarlyStart = 9;     // programmatic dependent launch
constexpr int kCompiledMajor = 9;  // the newest there is code for; others compile PTX at start

std::string mebibytes(std::size_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

}  // namespace

Result<std::unique_ptr<Backend>> CudaBackend::create() {
  int devices = 0;
  const cudaError_t found = cudaGetDeviceCount(&devices);
  if (found != cudaSuccess || devices == 0) {
    static_cast<void>(cudaGetLastError());
    return invalid(std::string("no usable GPU: ") +
                       (found != cudaSuccess ? cudaGetErrorString(found) : "none is visible") +
                       "; install NVIDIA's driver and check nvidia-smi, or use --device cpu",
                   "device");
  }
  std::unique_ptr<CudaBackend> backend(new CudaBackend());
  if (Status ready = backend->prepare(); !ready) {
    static_cast<void>(cudaGetLastError());
    return invalid(
        "the GPU cannot be used: " + ready.error().message + "; free it, or use --device cpu",
        "device");
  }
  return backend;
}

Status CudaBackend::prepare() {
  cudaDeviceProp properties = {};
  errors_.check(cudaSetDevice(0));
  errors_.check(cudaGetDeviceProperties(&properties, 0));
  if (Status ok = errors_.status(); !ok) return ok;
  if (properties.major < kLeastMajor)
    return invalid(std::string(properties.name) + " has compute capability " +
                   std::to_string(properties.major) + "." + std::to_string(properties.minor) +
                   ", and 8.0 is the least that works");
  early_start_ = properties.major >= kEarlyStart && properties.major <= kCompiledMajor;
  gemm_ = Gemm::open();
  staging_ = std::make_unique<Staging>(errors_);
  sampler_ = std::make_unique<Sampler>(errors_, *staging_);
  recordings_ = std::make_unique<Recordings>(errors_);
  for (Lane& each : lanes_) {
    each.queue.processors = properties.multiProcessorCount;
    each.queue.shared_bytes = properties.sharedMemPerBlockOptin;
  }
  // What runs beside the main stream is small and short of time.
  if (Status ok = prepare(lane(StreamId::kMain), kMainArena, Priority::kLow); !ok) return ok;
  if (Status ok = prepare(lane(StreamId::kSide), kSideArena, Priority::kHigh); !ok) return ok;
  describe_device(properties);
  return errors_.status();
}

Status CudaBackend::prepare(Lane& lane, std::size_t arena_bytes, Priority priority) {
  constexpr std::size_t kTicketBytes = kTickets * sizeof(unsigned);
  lane.stream = make_stream(errors_, priority);
  lane.reached = make_event(errors_);
  lane.arena = make_device_memory(errors_, arena_bytes);
  lane.tickets = make_device_memory(errors_, kTicketBytes);
  if (Status ok = errors_.status(); !ok) return ok;
  errors_.check(cudaMemsetAsync(lane.tickets.get(), 0, kTicketBytes, lane.stream.get()));
  Queue& queue = lane.queue;
  queue.stream = lane.stream.get();
  queue.errors = &errors_;
  queue.gemm = gemm_.get();
  queue.arena = static_cast<std::byte*>(lane.arena.get());
  queue.arena_bytes = arena_bytes;
  queue.tickets = static_cast<unsigned*>(lane.tickets.get());
  queue.ticket_count = kTickets;
  return errors_.status();
}

void CudaBackend::describe_device(const cudaDeviceProp& properties) {
  std::size_t free = 0;
  std::size_t total = 0;
  errors_.check(cudaMemGetInfo(&free, &total));
  info_.device = "cuda";
  info_.description = std::string(properties.name) + ", " +
                      std::to_string(properties.multiProcessorCount) + " multiprocessors";
  if (gemm_ == nullptr)
    info_.description += "; cuBLASLt was not found, so prompts and batches are slow";
  info_.memory_bytes = free;
  info_.memory_source = "free of the GPU's " + mebibytes(total);
  info_.asynchronous = true;
  info_.native_bf16 = true;
}

CudaBackend::~CudaBackend() { static_cast<void>(cudaDeviceSynchronize()); }

Result<Buffer> CudaBackend::allocate(std::size_t bytes) {
  void* memory = nullptr;
  const cudaError_t done = cudaMalloc(&memory, std::max<std::size_t>(bytes, 1));
  if (done == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());
    std::size_t free = 0;
    std::size_t total = 0;
    errors_.check(cudaMemGetInfo(&free, &total));
    return fail(ErrorCode::kResourceExhausted, "not enough GPU memory: " + mebibytes(bytes) +
                                                   " asked for, " + mebibytes(free) + " of " +
                                                   mebibytes(total) + " free");
  }
  if (!errors_.check(done)) return tl::unexpected(errors_.status().error());
  Lane& main = use(StreamId::kMain);
  errors_.check(cudaMemsetAsync(memory, 0, bytes, main.stream.get()));
  errors_.check(cudaStreamSynchronize(main.stream.get()));
  return Buffer(memory, bytes, [](void* data, std::size_t) { static_cast<void>(cudaFree(data)); });
}

CudaBackend::Lane& CudaBackend::use(StreamId id) {
  Lane& own = lane(id);
  own.queue.before_join = nullptr;
  if (own.waits) {
    if (early_start_) own.queue.before_join = last_recorded(own.stream.get());
    const Lane& other = lane(id == StreamId::kMain ? StreamId::kSide : StreamId::kMain);
    errors_.check(cudaStreamWaitEvent(own.stream.get(), other.reached.get(), 0));
  }
  // A kernel may start before its predecessor ends, but not before what another stream does.
  own.queue.early_start = early_start_ && !own.waits;
  own.waits = false;
  own.used = true;
  return own;
}

// A kernel may start when its predecessor has, which may have started early in its turn. No more
// than two small ones in a row let the next in before they have waited, so what an op wrote is
// there for the fourth after it.
Queue CudaBackend::queue(StreamId id, const MaskView& sets) {
  constexpr int kApart = 4;
  Lane& own = use(id);
  bool ready = own.ops > 0;
  for (const Lane::Predicted& predicted : own.predicted)
    ready &= predicted.sets == nullptr || predicted.sets != sets.words ||
             own.ops - predicted.op >= kApart;
  own.queue.sets_ready = ready || (!own.queue.early_start && own.queue.before_join == nullptr);
  ++own.ops;
  return own.queue;
}

void CudaBackend::upload(void* device, const void* host, std::size_t bytes, StreamId stream) {
  Lane& own = use(stream);
  own.ops = 0;
  own.predicted = {};
  staging_->upload(device, host, bytes, own.stream.get());
}

void CudaBackend::download(void* host, const void* device, std::size_t bytes, StreamId stream) {
  staging_->download(host, device, bytes, use(stream).stream.get());
}

void CudaBackend::order(StreamId before, StreamId after) {
  Lane& first = lane(before);
  if (before == after || !first.used) return;
  use(before);  // what it waits for comes before what it did not do yet
  errors_.check(cudaEventRecord(first.reached.get(), first.stream.get()));
  first.used = false;
  lane(after).waits = true;
}

Status CudaBackend::synchronize(StreamId stream) {
  const cudaStream_t own = use(stream).stream.get();
  if (errors_.check(cudaStreamSynchronize(own))) staging_->deliver(own);
  return errors_.status();
}

std::uint64_t CudaBackend::mark(StreamId stream) {
  if (spare_events_.empty()) spare_events_.push_back(make_event(errors_));
  Mark mark{staging_->close_group(), std::move(spare_events_.back()), use(stream).stream.get()};
  spare_events_.pop_back();
  errors_.check(cudaEventRecord(mark.event.get(), mark.stream));
  marks_.push_back(std::move(mark));
  return marks_.back().number;
}

Status CudaBackend::wait(std::uint64_t number) {
  while (!marks_.empty() && marks_.front().number <= number) {
    Mark& mark = marks_.front();
    if (errors_.check(cudaEventSynchronize(mark.event.get())))
      staging_->deliver(mark.number, mark.stream);
    spare_events_.push_back(std::move(mark.event));
    marks_.pop_front();
  }
  return errors_.status();
}

void CudaBackend::replay(const ReplayKey& key, const std::function<void()>& work) {
  // Joined before and after, so that a recording stands for itself.
  order(StreamId::kSide, StreamId::kMain);
  recordings_->replay(key, use(StreamId::kMain).stream.get(), [&] {
    lane(StreamId::kMain).used = true;
    lane(StreamId::kSide).waits = false;
    work();
    order(StreamId::kSide, StreamId::kMain);
    use(StreamId::kMain);
  });
  lane(StreamId::kMain).used = true;
  order(StreamId::kMain, StreamId::kSide);
}

void CudaBackend::embed(const EmbedArgs& args, StreamId stream) {
  cuda::embed(queue(stream), args);
}
void CudaBackend::norm(const NormArgs& args, StreamId stream) { cuda::norm(queue(stream), args); }
void CudaBackend::linear(const LinearArgs& args, StreamId stream) {
  cuda::linear(queue(stream, args.row_mask), args);
}
void CudaBackend::project(const ProjectArgs& args, StreamId stream) {
  cuda::project(queue(stream, args.row_mask), args);
}
void CudaBackend::mlp_up(const MlpUpArgs& args, StreamId stream) {
  cuda::mlp_up(queue(stream), args);
}
void CudaBackend::store_kv(const StoreKvArgs& args, StreamId stream) {
  cuda::store_kv(queue(stream), args);
}
void CudaBackend::attention(const AttentionArgs& args, StreamId stream) {
  cuda::attention(queue(stream, args.mask), args);
}
void CudaBackend::predict(const PredictArgs& args, StreamId stream) {
  cuda::predict(queue(stream), args);
  Lane& own = lane(stream);
  own.predicted = {own.predicted.back(), {args.mask.words, own.ops}};
}
std::size_t CudaBackend::sparse_mlp_scratch(int tokens, int width, int ffn) const {
  return cuda::sparse_mlp_scratch(lanes_.front().queue.processors, tokens, width, ffn);
}
void CudaBackend::sparse_mlp(const SparseMlpArgs& args, StreamId stream) {
  cuda::sparse_mlp(queue(stream, args.up.mask), args);
}
void CudaBackend::sparse_mlp_add(const SparseMlpAddArgs& args, StreamId stream) {
  cuda::sparse_mlp_add(queue(stream), args);
}
void CudaBackend::count_nonzero(const CountNonzeroArgs& args, StreamId stream) {
  cuda::count_nonzero(queue(stream), args);
}
void CudaBackend::stamp(std::int64_t* out, StreamId stream) { cuda::stamp(queue(stream), out); }
void CudaBackend::set_sampler_slot(const SamplerSlotArgs& args, StreamId /*stream*/) {
  sampler_->set_slot(args);
}
void CudaBackend::sample(const SampleArgs& args, StreamId stream) {
  sampler_->sample(queue(stream), args);
}

double CudaBackend::measure_read_bandwidth(std::size_t bytes) {
  constexpr int kPasses = 4;
  if (probe_.bytes() < bytes) {
    probe_ = Buffer();
    Result<Buffer> block = allocate(bytes);
    if (!block) return 0;
    probe_ = std::move(*block);
  }
  const Event start = make_event(errors_, Timing::kOn);
  const Event end = make_event(errors_, Timing::kOn);
  const Queue own = queue(StreamId::kMain);
  read_memory(own, probe_.data(), bytes);  // wakes the clocks
  errors_.check(cudaEventRecord(start.get(), own.stream));
  for (int pass = 0; pass < kPasses; ++pass) read_memory(own, probe_.data(), bytes);
  errors_.check(cudaEventRecord(end.get(), own.stream));
  errors_.check(cudaEventSynchronize(end.get()));
  float milliseconds = 0;
  if (!errors_.check(cudaEventElapsedTime(&milliseconds, start.get(), end.get()))) return 0;
  return kPasses * static_cast<double>(bytes) / static_cast<double>(milliseconds) / 1e6;
}

}  // namespace dejavu::cuda

namespace dejavu {

Result<std::unique_ptr<Backend>> make_cuda_backend(const BackendOptions& /*options*/) {
  return cuda::CudaBackend::create();
}

}  // namespace dejavu
