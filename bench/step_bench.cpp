#include "bench/step_bench.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <numeric>
#include <random>

namespace dejavu {
namespace {

constexpr std::size_t kBandwidthSampleBytes = std::size_t{2} << 30;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

// One configuration's metadata in backend memory: `sequences` of `context` KV tokens, the last
// `query` of them computed in the step.
class Workload {
 public:
  static Result<std::unique_ptr<Workload>> create(Backend& backend, const ModelConfig& config,
                                                  const StepBenchRow& row, std::uint64_t seed);

  StepBenchRow row;
  int tokens = 0;
  std::vector<double> seconds, fractions, speedups;

  StepBatch batch;

 private:
  Buffer memory_;
};

Result<std::unique_ptr<Workload>> Workload::create(Backend& backend, const ModelConfig& config,
                                                   const StepBenchRow& row, std::uint64_t seed) {
  auto work = std::make_unique<Workload>();
  work->row = row;
  const bool prefill = row.phase == "prefill";
  const int query = prefill ? row.context : 1;
  const int pages = (row.context + kKvPageTokens - 1) / kKvPageTokens;
  const int tokens = row.batch * query;
  work->tokens = tokens;

  std::vector<std::int32_t> host;
  const auto place = [&host](const std::vector<std::int32_t>& values) {
    const std::size_t offset = host.size();
    host.insert(host.end(), values.begin(), values.end());
    return offset;
  };
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<std::int32_t> any_token(0, config.vocab_size - 1);
  std::vector<std::int32_t> ids, positions, kv_slots, starts, lengths, table, logit_tokens;
  for (int s = 0; s < row.batch; ++s) {
    starts.push_back(s * query);
    lengths.push_back(row.context);
    logit_tokens.push_back(s * query + query - 1);
    for (int p = 0; p < pages; ++p) table.push_back(s * pages + p);
    for (int t = row.context - query; t < row.context; ++t) {
      ids.push_back(any_token(random));
      positions.push_back(t);
      kv_slots.push_back(s * pages * kKvPageTokens + t);
    }
  }
  starts.push_back(tokens);
  const std::size_t at_ids = place(ids), at_positions = place(positions),
                    at_slots = place(kv_slots), at_starts = place(starts),
                    at_lengths = place(lengths), at_table = place(table),
                    at_logits = place(logit_tokens);
  auto memory = backend.allocate(host.size() * sizeof(std::int32_t));
  if (!memory) return tl::unexpected(memory.error());
  backend.upload(memory->data(), host.data(), host.size() * sizeof(std::int32_t), StreamId::kMain);
  if (auto ok = backend.synchronize(StreamId::kMain); !ok) return tl::unexpected(ok.error());
  const auto* base = memory->as<std::int32_t>();
  StepBatch& batch = work->batch;
  batch.tokens = tokens;
  batch.sequences = row.batch;
  batch.ids = base + at_ids;
  batch.positions = base + at_positions;
  batch.kv_slots = base + at_slots;
  batch.query_start = base + at_starts;
  batch.context_length = base + at_lengths;
  batch.page_table = base + at_table;
  batch.page_table_stride = pages;
  batch.logit_rows = row.batch;
  batch.logit_tokens = base + at_logits;
  work->memory_ = std::move(*memory);
  return work;
}

// Multiply-adds count two. Every weight of a layer once a token; the head once a logit row;
// attention over the positions each token sees.
double step_flops(const Transformer& model, const StepBenchRow& row) {
  const ModelConfig& config = model.config();
  const double head = 2.0 * config.vocab_size * config.embedding_size;
  const double layers = 2.0 * static_cast<double>(model.decode_bytes()) /
                            static_cast<double>(dtype_size(model.dtype())) -
                        head;
  const bool prefill = row.phase == "prefill";
  const double queries = prefill ? row.context : 1;
  const double visible = prefill ? (row.context + 1) / 2.0 : row.context;
  const double attention = 4.0 * config.layers * config.heads * config.head_dim * visible * queries;
  return row.batch * (queries * layers + head + attention);
}

double run_once(Transformer& model, Backend& backend, const KvCache& cache, const Workload& work) {
  const auto begin = std::chrono::steady_clock::now();
  model.forward(work.batch, cache);
  if (!backend.synchronize(StreamId::kMain)) return 0;
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void run_round(Transformer& model, Backend& backend, const KvCache& cache,
               std::vector<std::unique_ptr<Workload>>& works, std::vector<double>& bandwidths) {
  double first_decode = 0, first_prefill = 0;
  for (auto& work : works) {
    // The host's speed drifts within a round: each step is held against samples on both sides of
    // it.
    const double before = backend.measure_read_bandwidth(kBandwidthSampleBytes);
    const double seconds = run_once(model, backend, cache, *work);
    const double after = backend.measure_read_bandwidth(kBandwidthSampleBytes);
    const double rate = work->tokens / seconds;
    double& first = work->row.phase == "decode" ? first_decode : first_prefill;
    if (first == 0) first = rate;
    work->seconds.push_back(seconds);
    work->fractions.push_back(work->row.bytes_per_step / seconds / 1e9 / ((before + after) / 2));
    work->speedups.push_back(rate / first);
    bandwidths.push_back(before);
    bandwidths.push_back(after);
  }
}

}  // namespace

Result<StepBenchResult> run_step_bench(Transformer& model, Backend& backend,
                                       const StepBenchOptions& options,
                                       const RoundProgress& progress) {
  std::vector<std::unique_ptr<Workload>> works;
  int pages = 0;
  const auto add = [&](const std::string& phase, int batch, int context) -> Status {
    StepBenchRow row;
    row.phase = phase;
    row.batch = batch;
    row.context = context;
    const double kv_token_bytes =
        static_cast<double>(model.kv_shape().page_bytes()) / kKvPageTokens;
    row.bytes_per_step = static_cast<double>(model.decode_bytes()) +
                         kv_token_bytes * static_cast<double>(batch) * context;
    auto work = Workload::create(backend, model.config(), row, options.seed + works.size());
    if (!work) return tl::unexpected(work.error());
    pages = std::max(pages, batch * ((context + kKvPageTokens - 1) / kKvPageTokens));
    works.push_back(std::move(*work));
    return {};
  };
  for (const int batch : options.batches) {
    if (auto ok = add("decode", batch, options.context); !ok) return tl::unexpected(ok.error());
  }
  if (options.prefill_tokens > 0) {
    if (auto ok = add("prefill", 1, options.prefill_tokens); !ok) return tl::unexpected(ok.error());
  }
  auto cache = KvCache::create(backend, model.kv_shape(), pages);
  if (!cache) return tl::unexpected(cache.error());

  for (auto& work : works) run_once(model, backend, *cache, *work);  // touches every page once
  std::vector<double> bandwidths;
  for (int round = 0; round < options.rounds; ++round) {
    run_round(model, backend, *cache, works, bandwidths);
    if (progress) progress(round + 1, options.rounds);
  }

  StepBenchResult result;
  result.read_gbps = median(bandwidths);
  for (auto& work : works) {
    const double seconds = median(work->seconds);
    work->row.step_ms = seconds * 1e3;
    work->row.tokens_per_second = work->tokens / seconds;
    work->row.bandwidth_fraction = median(work->fractions);
    work->row.tflops = step_flops(model, work->row) / seconds / 1e12;
    work->row.speedup = median(work->speedups);
    result.rows.push_back(work->row);
  }
  return result;
}

}  // namespace dejavu
