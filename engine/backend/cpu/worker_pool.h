// The persistent workers of the CPU backend. The calling thread is worker 0; the others sleep
// between steps. Inside a step they wait for the next op by spinning for at most 50 us and then
// sleep, and so does the caller for the last items of an op.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace dejavu {

class WorkerPool {
 public:
  // `cpus`: where to pin each worker, the caller included; empty: nowhere.
  explicit WorkerPool(int threads, const std::vector<int>& cpus = {});
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  ~WorkerPool();

  int threads() const { return static_cast<int>(slots_.size()); }

  static constexpr std::int64_t kMaxItems = 65535;

  // Calls body(item, worker) once for each item in [0, items), at most kMaxItems, on any worker,
  // and returns when all are done. `worker` is below threads(). Each worker starts with its own
  // contiguous share and then takes from the others' ends. One caller at a time, always the same
  // thread; not reentrant.
  template <class Body>
  void parallel_for(std::int64_t items, const Body& body) {
    run(
        items,
        [](const void* context, std::int64_t item, int worker) {
          (*static_cast<const Body*>(context))(item, worker);
        },
        &body);
  }

 private:
  using Function = void (*)(const void* context, std::int64_t item, int worker);

  // What is left of a worker's share: [begin, end), tagged with the op it belongs to so that a
  // worker waking late cannot take items of an op it has not read.
  struct alignas(64) Slot {
    std::atomic<std::uint64_t> share{0};
  };

  void run(std::int64_t items, Function function, const void* context);
  void work(std::size_t self, std::uint32_t epoch);
  bool take(std::size_t slot, std::uint32_t epoch, bool own, std::int64_t& item);
  void loop(std::size_t self);

  std::vector<Slot> slots_;
  std::vector<std::thread> threads_;
  alignas(64) std::atomic<std::uint32_t> epoch_{0};
  std::atomic<Function> function_{nullptr};
  std::atomic<const void*> context_{nullptr};
  std::atomic<bool> stop_{false};
  alignas(64) std::atomic<std::uint32_t> remaining_{0};
};

}  // namespace dejavu
