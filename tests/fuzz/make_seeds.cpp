// Writes the fuzzers' seed corpora: make_seeds DIR fills DIR/safetensors and DIR/config.
#include <cstdio>
#include <filesystem>

#include "tests/support/tensor_file.h"

namespace {

namespace fs = std::filesystem;

void write_safetensors_seeds(const fs::path& directory) {
  using dejavu::StoredTensors;
  const std::vector<std::byte> data(24);
  const StoredTensors two = {{"model.a.weight", {"F32", {2, 3}, data}},
                             {"b", {"BF16", {4, 3}, data}}};
  const StoredTensors odd = {{"empty", {"F16", {0, 5}, {}}}, {"scalar", {"I64", {3}, data}}};
  dejavu::write_bytes(directory / "two", dejavu::make_safetensors(two));
  dejavu::write_bytes(directory / "misaligned", dejavu::make_safetensors(two, 1));
  dejavu::write_bytes(directory / "odd", dejavu::make_safetensors(odd));
  dejavu::write_bytes(directory / "metadata",
                      dejavu::raw_safetensors(R"({"__metadata__":{"format":"pt"}})", 0));
}

void write_config_seeds(const fs::path& directory) {
  dejavu::write_text(directory / "opt",
                     R"({"model_type":"opt","vocab_size":9,"hidden_size":8,"num_hidden_layers":1,)"
                     R"("num_attention_heads":2,"ffn_dim":16,"word_embed_proj_dim":4})");
  const std::string llama =
      R"({"model_type":"llama","vocab_size":9,"hidden_size":8,"num_hidden_layers":1,)"
      R"("num_attention_heads":2,"num_key_value_heads":1,"intermediate_size":12,)"
      R"("eos_token_id":[1,2],"rope_scaling":)";
  dejavu::write_text(directory / "llama3",
                     llama + R"({"rope_type":"llama3","factor":8,"low_freq_factor":1,)"
                             R"("high_freq_factor":4,"original_max_position_embeddings":64}})");
  dejavu::write_text(directory / "yarn", llama + R"({"type":"yarn","factor":4,"mscale":1}})");
  dejavu::write_text(directory / "index",
                     R"(#{"weight_map":{"a":"model-00001-of-00002.safetensors"}})");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_seeds DIR\n");
    return 2;
  }
  const fs::path root = argv[1];
  fs::create_directories(root / "safetensors");
  fs::create_directories(root / "config");
  write_safetensors_seeds(root / "safetensors");
  write_config_seeds(root / "config");
  return 0;
}
