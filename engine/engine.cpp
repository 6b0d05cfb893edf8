#include "engine/engine.h"

#include <algorithm>

#include "engine/engine_create.h"
#include "engine/kv_sizing.h"
#include "engine/step_loop.h"

namespace dejavu {

Result<std::unique_ptr<Engine>> Engine::create(Backend& backend, std::unique_ptr<Transformer> model,
                                               const EngineOptions& options,
                                               StepSparsity* sparsity) {
  const int launch_ahead = backend.info().asynchronous ? 1 : 0;
  return create_engine(backend, std::move(model), options, launch_ahead, sparsity);
}

Result<std::unique_ptr<Engine>> create_engine(Backend& backend, std::unique_ptr<Transformer> model,
                                              const EngineOptions& options, int launch_ahead,
                                              StepSparsity* sparsity) {
  const std::size_t beside = sparsity == nullptr ? 0 : sparsity->memory_bytes();
  const auto pages = kv_page_count(
      backend.info(),
      {model->weight_bytes() + beside, model->kv_shape().page_bytes(), model->max_model_len()},
      options);
  if (!pages) return tl::unexpected(pages.error());
  auto cache = KvCache::create(backend, model->kv_shape(), *pages);
  if (!cache) return tl::unexpected(cache.error());
  const SchedulerLimits limits{options.max_num_seqs, options.max_num_batched_tokens,
                               std::max(options.max_logit_rows, options.max_num_seqs),
                               model->max_model_len(), options.prefix_caching};
  auto runner = StepRunner::create({backend,
                                    *model,
                                    std::move(*cache),
                                    {limits.max_num_batched_tokens, limits.max_num_seqs,
                                     limits.max_logit_rows, pages_for(limits.max_model_len)},
                                    sparsity});
  if (!runner) return tl::unexpected(runner.error());
  return std::make_unique<StepLoop>(StepLoop::Parts{backend, std::move(model), std::move(*runner),
                                                    options, limits, *pages, launch_ahead});
}

}  // namespace dejavu
