#include "bench/timeline.h"

#include <algorithm>
#include <chrono>
#include <numeric>

#include "bench/median.h"
#include "bench/workload.h"

namespace dejavu {
namespace {

constexpr int kLayers = 2;  // from the middle one on
constexpr int kWarmups = 3;

using Clock = std::chrono::steady_clock;

class Recorder {
 public:
  Recorder(Transformer& model, StampingBackend& stamping, SparseBenchLayers& layers)
      : model_(model), stamping_(stamping), layers_(layers) {}

  // Seconds of a step with new sets.
  Result<double> step(const StepBatch& batch, const KvCache& cache, bool with_stamps) {
    layers_.begin_step(BenchMode::kLookahead, batch.tokens, stamping_);
    if (Status done = stamping_.synchronize(StreamId::kMain); !done)
      return tl::unexpected(done.error());
    ReplayKey key = layers_.methods();
    key.push_back(with_stamps ? 1 : 0);
    const auto begin = Clock::now();
    stamping_.replay(key, [&] { run(batch, cache, with_stamps); });
    if (Status done = stamping_.synchronize(StreamId::kMain); !done)
      return tl::unexpected(done.error());
    return std::chrono::duration<double>(Clock::now() - begin).count();
  }

 private:
  void run(const StepBatch& batch, const KvCache& cache, bool with_stamps) {
    if (with_stamps) stamping_.restart();
    const int count = model_.config().layers;
    const int first = count / 2;
    model_.embed(batch);
    for (int l = 0; l < count; ++l) {
      stamping_.enter(with_stamps && l >= first && l < first + kLayers ? l : -1);
      model_.run_layer(l, batch, cache.layer(l));
    }
    stamping_.enter(-1);
    model_.logits(batch);
  }

  Transformer& model_;
  StampingBackend& stamping_;
  SparseBenchLayers& layers_;
};

std::int64_t span(const std::vector<std::int64_t>& stamps) {
  const auto [first, last] = std::ranges::minmax(stamps);
  return last - first;
}

// What all times between stamps are multiples of.
double tick(const std::vector<std::vector<std::int64_t>>& rounds) {
  std::int64_t tick = 0;
  for (const auto& stamps : rounds)
    for (const std::int64_t stamp : stamps) tick = std::gcd(tick, stamp - stamps.front());
  return static_cast<double>(tick);
}

}  // namespace

Result<Timeline> record_timeline(Transformer& model, StampingBackend& stamping,
                                 const StepBenchOptions& options, SparseBenchLayers& layers) {
  if (auto measured = layers.measure_crossover(); !measured)
    return tl::unexpected(measured.error());
  const auto work = Workload::create(stamping, model.config(),
                                     {options.batches.front(), options.context, 1, options.seed});
  if (!work) return tl::unexpected(work.error());
  const auto cache = KvCache::create(stamping, model.kv_shape(), work->pages());
  if (!cache) return tl::unexpected(cache.error());

  Recorder recorder(model, stamping, layers);
  std::vector<double> plain, stamped;
  std::vector<std::vector<std::int64_t>> rounds;
  for (int round = 0; round < kWarmups + options.rounds; ++round) {
    for (const bool with_stamps : {false, true}) {
      const auto seconds = recorder.step(work->batch(), *cache, with_stamps);
      if (!seconds) return tl::unexpected(seconds.error());
      if (round >= kWarmups) (with_stamps ? stamped : plain).push_back(*seconds);
    }
    auto stamps = stamping.stamps();
    if (!stamps) return tl::unexpected(stamps.error());
    if (round >= kWarmups) rounds.push_back(std::move(*stamps));
  }

  Timeline timeline;
  timeline.layers = model.config().layers;
  timeline.step_ms = 1e3 * median(plain);
  timeline.stamped_step_ms = 1e3 * median(stamped);
  timeline.tick_ns = tick(rounds);
  const auto middle = rounds.begin() + static_cast<std::ptrdiff_t>(rounds.size() / 2);
  std::ranges::nth_element(rounds, middle, {}, span);
  const std::int64_t start = std::ranges::min(*middle);
  const auto microseconds = [&](std::size_t place) {
    return 1e-3 * static_cast<double>((*middle)[place] - start);
  };
  for (const StampingBackend::Op& op : stamping.ops())
    timeline.ops.push_back({op.name, op.layer, op.stream == StreamId::kSide, microseconds(op.begin),
                            microseconds(op.end)});
  return timeline;
}

nlohmann::ordered_json to_json(const Timeline& timeline, const StepBenchOptions& options) {
  auto ops = nlohmann::ordered_json::array();
  for (const Timeline::Op& op : timeline.ops)
    ops.push_back({{"name", op.name},
                   {"layer", op.layer},
                   {"stream", op.side ? "side" : "main"},
                   {"begin_us", op.begin_us},
                   {"end_us", op.end_us}});
  return {{"shape", options.shape},
          {"batch", options.batches.front()},
          {"context", options.context},
          {"mlp_density", options.mlp_density},
          {"head_density", options.head_density},
          {"predictor_rank", options.predictor_rank},
          {"layers", timeline.layers},
          {"step_ms", timeline.step_ms},
          {"stamped_step_ms", timeline.stamped_step_ms},
          {"tick_ns", timeline.tick_ns},
          {"ops", std::move(ops)}};
}

}  // namespace dejavu
