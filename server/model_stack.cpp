#include "server/model_stack.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "engine/backend/factory.h"
#include "engine/core/inbox.h"
#include "server/load_progress.h"
#include "server/sampling_defaults.h"

namespace dejavu {

TransformerOptions transformer_options(const Config& config) {
  TransformerOptions options;
  switch (config.model.dtype) {
    case DTypeChoice::kAuto:
      break;
    case DTypeChoice::kF32:
      options.dtype = DType::kF32;
      break;
    case DTypeChoice::kBF16:
      options.dtype = DType::kBF16;
      break;
    case DTypeChoice::kF16:
      options.dtype = DType::kF16;
      break;
  }
  options.max_model_len = config.model.max_model_len;
  options.max_batch_tokens = config.engine.max_num_batched_tokens;
  options.max_logit_rows = std::max(options.max_logit_rows, config.engine.max_num_seqs);
  return options;
}

GenerationService::Parts ModelStack::parts(const Config& config) const {
  const ModelConfig& model = engine->model().config();
  GenerationService::Parts parts;
  parts.engine = engine.get();
  parts.sparsity = sparsity.get();
  parts.tokenizer = text.tokenizer;
  parts.chat_template = text.chat_template;
  parts.bos_token = text.bos_token;
  parts.eos_token = text.eos_token;
  parts.generation_config = text.generation_config;
  parts.eos_token_ids = model.eos_token_ids;
  parts.model_root = location.root;
  parts.max_sequences = config.engine.max_num_seqs + config.engine.max_queued;
  return parts;
}

Result<ModelLocation> check_model_options(const Config& config) {
  if (const std::string& file = config.service.chat_template_file; !file.empty()) {
    if (const auto chat = compile_chat_template(file); !chat) return tl::unexpected(chat.error());
  }
  const auto defaults =
      merge_sampling_defaults({config.service.override_generation_config, {}, {}});
  if (!defaults) return tl::unexpected(defaults.error());
  return locate_model(config.model.model, config.model.offline);
}

Result<std::optional<FoundArtifact>> find_artifact(const std::string& directory,
                                                   const std::filesystem::path& model) {
  std::filesystem::path found = directory;
  if (found.empty()) found = model / "sparsity";
  if (directory.empty() && !std::filesystem::is_directory(found)) return std::nullopt;
  const auto fingerprint = model_fingerprint(model);
  if (!fingerprint) return tl::unexpected(fingerprint.error());
  auto artifact = load_artifact(found, *fingerprint);
  if (!artifact) return tl::unexpected(artifact.error());
  return FoundArtifact{*std::move(artifact), found.string()};
}

Result<std::unique_ptr<Transformer>> load_transformer(const ModelLocation& location,
                                                      Backend& backend,
                                                      const TransformerOptions& options) {
  LoadProgressDisplay display("loading " + location.name);
  auto model =
      Transformer::load(location.directory, backend, options,
                        [&](std::size_t done, std::size_t total) { display.update(done, total); });
  display.finish();
  return model;
}

Result<ModelStack> load_model(const Config& config, const ModelLocation& location) {
  ModelStack stack;
  stack.location = location;
  auto backend = make_backend(config.backend);
  if (!backend) return tl::unexpected(backend.error());
  stack.backend = *std::move(backend);
  const BackendInfo& info = stack.backend->info();
  if (config.backend.device == DeviceChoice::kAuto && info.device == "cpu") {
    spdlog::info("no usable GPU: computing on the CPU");
  }
  spdlog::info("device: {}, {} of memory ({})", info.description, format_bytes(info.memory_bytes),
               info.memory_source);

  auto text = read_model_text(location.directory, config.service.chat_template_file);
  if (!text) return tl::unexpected(text.error());
  stack.text = *std::move(text);
  if (!stack.text.chat_template_problem.empty()) {
    spdlog::warn(
        "chat is off: the model's chat template is not supported: {}; give another with "
        "--chat-template FILE",
        stack.text.chat_template_problem);
  }

  auto artifact = find_artifact(config.sparsity.artifact_directory, location.directory);
  if (!artifact) return tl::unexpected(artifact.error());
  SparsityRuntime::Parts sparsity{.options = config.sparsity};
  if (*artifact) {
    sparsity.artifact = std::move((*artifact)->artifact);
    sparsity.artifact_directory = std::move((*artifact)->directory);
  }
  stack.sparsity = std::make_unique<SparsityRuntime>(std::move(sparsity));

  TransformerOptions options = transformer_options(config);
  options.layers = stack.sparsity.get();
  auto model = load_transformer(location, *stack.backend, options);
  if (!model) return tl::unexpected(model.error());
  if (const Status ready = stack.sparsity->prepare(); !ready) return tl::unexpected(ready.error());
  auto engine =
      Engine::create(*stack.backend, *std::move(model), config.engine, stack.sparsity.get());
  if (!engine) return tl::unexpected(engine.error());
  stack.engine = *std::move(engine);
  return stack;
}

Status warm_up(Engine& engine, const SparsityChoice& sparsity) {
  // Two prompt chunks or more: the first is small, and what it shows sizes the others.
  constexpr int kPromptTokens = 96;
  constexpr int kTokens = 4;
  const ModelConfig& model = engine.model().config();
  const int tokens = std::min(kTokens, engine.max_model_len() - 1);
  const int prompt_tokens = std::min(kPromptTokens, engine.max_model_len() - tokens);
  auto changed = std::make_shared<Inbox<int>>();
  SequenceRequest request;
  request.prompt.assign(static_cast<std::size_t>(prompt_tokens),
                        std::clamp(model.bos_token_id, 0, model.vocab_size - 1));
  request.sparsity = sparsity;
  request.sampling.temperature = 0.0F;
  request.sampling.ignore_eos = true;
  request.sampling.max_tokens = tokens;
  request.use_prefix_cache = false;
  auto stream = std::make_shared<TokenStream>(kTokens, [changed] { changed->wake(); });
  request.stream = stream;
  std::vector<SequenceRequest> requests;
  requests.push_back(std::move(request));
  if (const Status submitted = engine.submit(std::move(requests)); !submitted) return submitted;
  TokenEvent event;
  while (event.finish == FinishReason::kNone) {
    if (!stream->try_pop(event)) changed->wait_drain();
  }
  if (event.finish == FinishReason::kError) return tl::unexpected(*event.error);
  return {};
}

}  // namespace dejavu
