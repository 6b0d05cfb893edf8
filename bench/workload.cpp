#include "bench/workload.h"

#include <random>

#include "engine/core/kv_page.h"

namespace dejavu {

Result<Workload> Workload::create(Backend& backend, const ModelConfig& config,
                                  const WorkloadShape& shape) {
  const int pages = (shape.context + kKvPageTokens - 1) / kKvPageTokens;

  std::vector<std::int32_t> host;
  const auto place = [&host](const std::vector<std::int32_t>& values) {
    const std::size_t offset = host.size();
    host.insert(host.end(), values.begin(), values.end());
    return offset;
  };
  std::mt19937_64 random(shape.seed);
  std::uniform_int_distribution<std::int32_t> any_token(0, config.vocab_size - 1);
  std::vector<std::int32_t> ids, positions, kv_slots, starts, lengths, table, logit_tokens;
  for (int s = 0; s < shape.sequences; ++s) {
    starts.push_back(s * shape.query);
    lengths.push_back(shape.context);
    logit_tokens.push_back(s * shape.query + shape.query - 1);
    for (int p = 0; p < pages; ++p) table.push_back(s * pages + p);
    for (int t = shape.context - shape.query; t < shape.context; ++t) {
      ids.push_back(any_token(random));
      positions.push_back(t);
      kv_slots.push_back(s * pages * kKvPageTokens + t);
    }
  }
  const int tokens = shape.sequences * shape.query;
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
  Workload work;
  work.pages_ = shape.sequences * pages;
  StepBatch& batch = work.batch_;
  batch.tokens = tokens;
  batch.sequences = shape.sequences;
  batch.ids = base + at_ids;
  batch.positions = base + at_positions;
  batch.kv_slots = base + at_slots;
  batch.query_start = base + at_starts;
  batch.context_length = base + at_lengths;
  batch.page_table = base + at_table;
  batch.page_table_stride = pages;
  batch.logit_rows = shape.sequences;
  batch.logit_tokens = base + at_logits;
  work.memory_ = std::move(*memory);
  return work;
}

}  // namespace dejavu
