// The strings and id sequences of tests/text/goldens, composed as tools/make_tokenizer_goldens.py
// does it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dejavu::golden {

std::filesystem::path folder();
std::filesystem::path tokenizer_file(const std::string& name);  // demo, gpt2, llama, llama3

std::vector<std::string> read_fragments();
std::string compose(std::uint64_t index, const std::vector<std::string>& fragments);
std::vector<std::int32_t> id_sequence(std::uint64_t index, int vocab_size);

std::vector<std::uint32_t> read_hashes(const std::string& file);
std::uint32_t hash_bytes(std::string_view bytes);
std::uint32_t hash_ids(std::span<const std::int32_t> ids);

}  // namespace dejavu::golden
