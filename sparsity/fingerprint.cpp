#include <algorithm>
#include <string>

#include "engine/model/checkpoint.h"
#include "engine/model/json_text.h"
#include "engine/model/mapped_file.h"
#include "sparsity/artifact.h"
#include "sparsity/sha256.h"

namespace dejavu {
namespace {

// Enough that any training changes some of them, little enough that a server does not read the
// checkpoint twice.
constexpr std::size_t kSamples = 64;
constexpr std::size_t kSampleBytes = 64;

void add_samples(std::span<const std::byte> data, Sha256& digest) {
  if (data.size() <= kSamples * kSampleBytes) return digest.add(data);
  const std::size_t last = data.size() - kSampleBytes;
  for (std::size_t i = 0; i < kSamples; ++i)
    digest.add(data.subspan(last / (kSamples - 1) * i, kSampleBytes));
}

}  // namespace

Result<std::string> model_fingerprint(const std::filesystem::path& model_directory) {
  const std::filesystem::path config_path = model_directory / "config.json";
  const auto text = MappedFile::open(config_path);
  if (!text) return tl::unexpected(text.error());
  auto config = parse_json_object(text->text(), config_path.string());
  if (!config) return tl::unexpected(config.error());
  // Who saved the model, and from where, does not make it another one.
  for (const char* key : {"_name_or_path", "transformers_version"}) config->erase(key);
  const auto checkpoint = Checkpoint::open(model_directory);
  if (!checkpoint) return tl::unexpected(checkpoint.error());

  Sha256 digest;
  digest.add(config->dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
  for (const auto& [name, entry] : (*checkpoint)->entries()) {
    digest.add(name);
    digest.add(entry->dtype);
    for (const std::int64_t size : entry->shape) digest.add(std::to_string(size));
    add_samples(entry->data, digest);
  }
  return digest.hex();
}

}  // namespace dejavu
