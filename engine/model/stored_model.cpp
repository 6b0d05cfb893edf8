#include "engine/model/stored_model.h"

#include <span>

#include "engine/model/tensor_names.h"

namespace dejavu {
namespace {

// The prefix under which the checkpoint holds the token table; the first one when it is nowhere, so
// that the error names the usual tensor.
std::string find_prefix(ModelFamily family, const Checkpoint& checkpoint) {
  const auto find = [&checkpoint](std::span<const std::string_view> prefixes) {
    for (const std::string_view prefix : prefixes)
      if (checkpoint.has(std::string(prefix) + std::string(kTokenTable)))
        return std::string(prefix);
    return std::string(prefixes.front());
  };
  return family == ModelFamily::kOpt ? find(kOptPrefixes) : find(kLlamaPrefixes);
}

bool has_gate(const ModelConfig& config, const Checkpoint& checkpoint, const std::string& prefix) {
  for (int layer = 0; layer < config.layers; ++layer)
    if (checkpoint.has(prefix + "layers." + std::to_string(layer) + ".mlp.gate_proj.weight"))
      return true;
  return false;
}

}  // namespace

Result<StoredModel> open_stored_model(const std::filesystem::path& directory,
                                      SafetensorsPart part) {
  auto config = ModelConfig::from_file(directory / "config.json");
  if (!config) return tl::unexpected(config.error());
  auto checkpoint = Checkpoint::open(directory, part);
  if (!checkpoint) return tl::unexpected(checkpoint.error());
  std::string prefix = find_prefix(config->family, **checkpoint);
  config->gated_mlp = config->gated_mlp && has_gate(*config, **checkpoint, prefix);
  const std::optional<DType> stored =
      config->stored_dtype ? config->stored_dtype
                           : (*checkpoint)->stored_dtype(prefix + "embed_tokens.weight");
  return StoredModel{*std::move(config), *std::move(checkpoint), std::move(prefix),
                     stored.value_or(DType::kF32)};
}

}  // namespace dejavu
