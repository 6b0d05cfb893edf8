// Engine::create with the launch depth given, so that tests run both on one backend.
#pragma once

#include "engine/engine.h"

namespace dejavu {

// `launch_ahead`: steps launched before the oldest one's tokens are looked at (0 or 1).
Result<std::unique_ptr<Engine>> create_engine(Backend& backend, std::unique_ptr<Transformer> model,
                                              const EngineOptions& options, int launch_ahead,
                                              StepSparsity* sparsity = nullptr);

}  // namespace dejavu
