#include "bench/step_bench.h"

#include <algorithm>
#include <chrono>
#include <map>

#include "bench/cublas_chain.h"
#include "bench/median.h"
#include "bench/workload.h"

namespace dejavu {
namespace {

constexpr std::size_t kBandwidthSampleBytes = std::size_t{2} << 30;

// One configuration: what it measures, and its step.
struct Measured {
  StepBenchRow row;
  BenchMode mode = BenchMode::kDense;
  Workload work;
  std::vector<double> seconds, fractions, speedups;

  int tokens() const { return work.batch().tokens; }
};

// Multiply-adds count two. Every weight of a layer that the mode uses once a token; the head once a
// logit row; attention over the positions each token sees. Predictors are not counted.
double step_flops(const Transformer& model, const StepBenchRow& row) {
  const ModelConfig& config = model.config();
  const double d = config.hidden_size;
  const double head = 2.0 * config.vocab_size * config.embedding_size;
  const double layers = 2.0 * static_cast<double>(model.decode_bytes()) /
                            static_cast<double>(dtype_size(model.dtype())) -
                        head;
  const double neurons = 2.0 * config.layers * d * config.ffn_size * (1 - row.mlp_density);
  const double matrices = (config.gated_mlp ? 3 : 2) - (row.mode == "exact" ? 1 : 0);
  const bool prefill = row.phase == "prefill";
  const double queries = prefill ? row.context : 1;
  const double visible = prefill ? (row.context + 1) / 2.0 : row.context;
  const double attention =
      4.0 * config.layers * config.heads * config.head_dim * visible * queries * row.head_density;
  return row.batch * (queries * (layers - matrices * neurons) + head + attention);
}

// What the step must read, from the densities of its sets.
double step_bytes(const Transformer& model, const StepBenchRow& row,
                  const SparseBenchLayers& layers) {
  const ModelConfig& config = model.config();
  const auto element = static_cast<double>(dtype_size(model.dtype()));
  const double d = config.hidden_size;
  const double matrix = element * config.layers * d * config.ffn_size;
  const double heads = element * config.layers * d * config.heads * config.head_dim;
  const double kv_token = static_cast<double>(model.kv_shape().page_bytes()) / kKvPageTokens;
  const double kv = kv_token * row.batch * row.context;
  const double dense = static_cast<double>(model.decode_bytes());
  const double matrices = config.gated_mlp ? 3 : 2;
  if (row.mode == "exact") return dense + kv - (matrices - 1) * matrix * (1 - row.union_density);
  if (row.mode == "dense") return dense + kv;
  const double left_out = matrices * matrix * (1 - layers.read_density()) +
                          (row.batch == 1 ? 2 * heads * (1 - row.head_density) : 0);
  return dense - left_out + kv * row.head_density +
         (row.predictor_rank > 0 ? static_cast<double>(layers.predictor_bytes()) : 0);
}

void describe(StepBenchRow& row, BenchMode mode, const StepBenchOptions& options,
              const SparseBenchLayers& layers) {
  if (mode == BenchMode::kDense) return;
  row.mlp_density = layers.mlp_density();
  row.union_density = layers.union_density();
  if (mode == BenchMode::kExact) return;
  row.head_density = layers.head_density();
  if (mode != BenchMode::kKnown) row.predictor_rank = options.predictor_rank;
}

bool looks_ahead_by_name(const std::string& name) {
  const auto mode = bench_mode(name);
  return mode && looks_ahead(*mode);
}

// Where the same batch also ran with its predictors on the main stream, and without them.
void describe_overlap(const std::vector<Measured>& works, Measured& side) {
  const auto of_mode = [&](BenchMode mode) -> const Measured* {
    const auto found = std::ranges::find_if(works, [&](const Measured& work) {
      return work.mode == mode && work.row.batch == side.row.batch;
    });
    return found == works.end() ? nullptr : &*found;
  };
  const Measured* main = of_mode(BenchMode::kInline);
  const Measured* without = of_mode(BenchMode::kKnown);
  if (side.mode != BenchMode::kLookahead || main == nullptr || without == nullptr) return;
  const auto saved = [&](const Measured& other) {
    std::vector<double> differences;
    for (std::size_t round = 0; round < main->seconds.size(); ++round)
      differences.push_back(main->seconds[round] - other.seconds[round]);
    return median(std::move(differences));
  };
  const double predictors = saved(*without);
  side.row.predictor_ms = 1e3 * predictors;
  side.row.overlap = saved(side) / predictors;
}

// Beside a dense row of the same batch.
StepBenchRow cublas_row(const Transformer& model, const StepBenchRow& dense, double seconds) {
  StepBenchRow row = dense;
  row.mode = "cublas";
  row.context = 0;
  row.step_ms = 1e3 * seconds;
  row.tokens_per_second = row.batch / seconds;
  row.bytes_per_step = static_cast<double>(model.decode_bytes());
  row.bandwidth_fraction *=
      row.bytes_per_step / row.step_ms / (dense.bytes_per_step / dense.step_ms);
  row.tflops = step_flops(model, row) / seconds / 1e12;
  row.speedup = dense.step_ms / row.step_ms;
  return row;
}

class Rounds {
 public:
  Rounds(Transformer& model, Backend& backend, const KvCache& cache, SparseBenchLayers& layers)
      : model_(model), backend_(backend), cache_(cache), layers_(layers) {}

  void begin(const Measured& work) { layers_.begin_step(work.mode, work.tokens(), backend_); }

  double step(const Measured& work) {
    ReplayKey key{work.tokens(), work.row.batch, work.row.context};
    const ReplayKey methods = layers_.methods();
    key.insert(key.end(), methods.begin(), methods.end());
    const auto begin = std::chrono::steady_clock::now();
    backend_.replay(key, [&] { model_.forward(work.work.batch(), cache_); });
    if (!backend_.synchronize(StreamId::kMain)) return 0;
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }

  void round(std::vector<Measured>& works) {
    double first_decode = 0, first_prefill = 0;
    std::map<int, double> dense;  // rates by batch
    // The host's speed drifts within a round: each step is held against samples on both sides of
    // it. A step's sets are drawn before the sample, so that steps of every mode find the workers
    // awake and the caches alike.
    begin(works.front());
    double before = backend_.measure_read_bandwidth(kBandwidthSampleBytes);
    bandwidths_.push_back(before);
    for (std::size_t i = 0; i < works.size(); ++i) {
      Measured* work = &works[i];
      const double seconds = step(*work);
      begin(works[std::min(i + 1, works.size() - 1)]);
      const double after = backend_.measure_read_bandwidth(kBandwidthSampleBytes);
      const double rate = work->tokens() / seconds;
      const bool decode = work->row.phase == "decode";
      double& first = decode ? first_decode : first_prefill;
      if (first == 0) first = rate;
      if (decode && work->mode == BenchMode::kDense) dense[work->row.batch] = rate;
      const auto same_batch = dense.find(work->row.batch);
      const bool sparse = work->mode != BenchMode::kDense && same_batch != dense.end();
      work->seconds.push_back(seconds);
      work->fractions.push_back(work->row.bytes_per_step / seconds / 1e9 / ((before + after) / 2));
      work->speedups.push_back(rate / (sparse ? same_batch->second : first));
      bandwidths_.push_back(after);
      before = after;
    }
  }

  double read_gbps() const { return median(bandwidths_); }

 private:
  Transformer& model_;
  Backend& backend_;
  const KvCache& cache_;
  SparseBenchLayers& layers_;
  std::vector<double> bandwidths_;
};

}  // namespace

Result<StepBenchResult> run_step_bench(Transformer& model, Backend& backend,
                                       const StepBenchOptions& options, SparseBenchLayers& layers,
                                       const RoundProgress& progress) {
  if (std::ranges::any_of(options.modes, looks_ahead_by_name))
    if (auto ok = layers.measure_crossover(); !ok) return tl::unexpected(ok.error());
  std::vector<Measured> works;
  int pages = 0;
  const auto add = [&](StepBenchRow row, BenchMode mode) -> Status {
    layers.begin_step(mode, row.batch, backend);  // for the densities
    describe(row, mode, options, layers);
    row.bytes_per_step = step_bytes(model, row, layers);
    // A batch has the same tokens in every mode.
    WorkloadShape shape{row.batch, row.context, row.phase == "prefill" ? row.context : 1};
    shape.seed = options.seed + static_cast<std::uint64_t>(row.batch);
    auto work = Workload::create(backend, model.config(), shape);
    if (!work) return tl::unexpected(work.error());
    pages = std::max(pages, work->pages());
    works.push_back({std::move(row), mode, std::move(*work)});
    return {};
  };
  for (const int batch : options.batches) {
    for (const std::string& name : options.modes) {
      const auto mode = bench_mode(name);
      if (!mode) return tl::unexpected(mode.error());
      StepBenchRow row;
      row.phase = "decode";
      row.mode = name;
      row.batch = batch;
      row.context = options.context;
      if (auto ok = add(row, *mode); !ok) return tl::unexpected(ok.error());
    }
  }
  if (options.prefill_tokens > 0) {
    StepBenchRow row;
    row.phase = "prefill";
    row.batch = 1;
    row.context = options.prefill_tokens;
    if (auto ok = add(row, BenchMode::kDense); !ok) return tl::unexpected(ok.error());
  }
  auto cache = KvCache::create(backend, model.kv_shape(), pages);
  if (!cache) return tl::unexpected(cache.error());

  Rounds rounds(model, backend, *cache, layers);
  for (const Measured& work : works) {  // touches every page once
    rounds.begin(work);
    rounds.step(work);
  }
  for (int round = 0; round < options.rounds; ++round) {
    rounds.round(works);
    if (progress) progress(round + 1, options.rounds);
  }

  StepBenchResult result;
  result.read_gbps = rounds.read_gbps();
  for (Measured& work : works) {
    const double seconds = median(work.seconds);
    work.row.step_ms = seconds * 1e3;
    work.row.tokens_per_second = work.tokens() / seconds;
    work.row.bandwidth_fraction = median(work.fractions);
    work.row.tflops = step_flops(model, work.row) / seconds / 1e12;
    work.row.speedup = median(work.speedups);
    describe_overlap(works, work);
    result.rows.push_back(work.row);
  }
  for (const Measured& work : works) {
    if (work.row.phase != "decode" || work.mode != BenchMode::kDense) continue;
    const auto seconds = time_cublas_chain({layers.contexts(), work.row.batch, options.rounds});
    if (!seconds) return tl::unexpected(seconds.error());
    if (*seconds > 0) result.rows.push_back(cublas_row(model, work.row, *seconds));
  }
  return result;
}

}  // namespace dejavu
