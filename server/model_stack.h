// Everything a loaded model consists of, from backend to engine: what `serve` and `generate` stand
// on.
#pragma once

#include <memory>
#include <string>

#include "config/config.h"
#include "engine/engine.h"
#include "server/generation_service.h"
#include "server/model_files.h"
#include "sparsity/runtime.h"

namespace dejavu {

struct ModelStack {
  ModelLocation location;
  ModelText text;
  std::unique_ptr<Backend> backend;           // outlives the engine
  std::unique_ptr<SparsityRuntime> sparsity;  // outlives the engine
  std::unique_ptr<Engine> engine;

  GenerationService::Parts parts(const Config& config) const;
};

// Checks that need no loading: where the model is.
Result<ModelLocation> check_model_options(const Config& config);

TransformerOptions transformer_options(const Config& config);

// Transformer::load with its progress shown.
Result<std::unique_ptr<Transformer>> load_transformer(const ModelLocation& location,
                                                      Backend& backend,
                                                      const TransformerOptions& options);

struct FoundArtifact {
  Artifact artifact;
  std::string directory;
};
// The artifact that the options name, or the one beside the model; nothing when there is none.
Result<std::optional<FoundArtifact>> find_artifact(const std::string& directory,
                                                   const std::filesystem::path& model);

// Reads tokenizer and weights and makes the engine, which is not started. Logs what was chosen and
// shows progress.
Result<ModelStack> load_model(const Config& config, const ModelLocation& location);

// Generates a few tokens as `sparsity` says, so that the first request finds everything touched and
// sized.
Status warm_up(Engine& engine, const SparsityChoice& sparsity = {});

}  // namespace dejavu
