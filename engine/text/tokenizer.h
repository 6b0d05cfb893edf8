// Tokenizer from a Hugging Face tokenizer.json: byte-level BPE and Metaspace BPE, with normalizers,
// pre-tokenizers, added tokens and post-processors. Immutable after loading: any thread may use
// one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/result.h"

namespace dejavu {

// Decoding of one sequence, token by token. One thread at a time; it must not outlive its
// tokenizer.
class DecodeStream {
 public:
  virtual ~DecodeStream() = default;
  // The text that became final with this id: whole UTF-8 characters, perhaps none.
  virtual std::string append(std::int32_t id) = 0;
  // The end of the sequence: what was held back; incomplete bytes become U+FFFD.
  virtual std::string finish() = 0;
};

class Tokenizer {
 public:
  // Errors name the file and the part that is wrong or not supported.
  static Result<std::shared_ptr<const Tokenizer>> from_file(
      const std::filesystem::path& tokenizer_json);
  virtual ~Tokenizer() = default;

  // Special tokens written in `text` are recognised; bytes that are not UTF-8 go through the byte
  // path. `add_special_tokens` runs the post-processor (BOS and the like).
  virtual std::vector<std::int32_t> encode(std::string_view text,
                                           bool add_special_tokens) const = 0;
  // Ids outside the vocabulary are skipped.
  virtual std::unique_ptr<DecodeStream> decode_stream(bool skip_special_tokens) const = 0;
  virtual std::string decode(std::span<const std::int32_t> ids, bool skip_special_tokens) const = 0;
  // The raw bytes one id stands for inside a text (a byte-level token may be part of a character).
  virtual std::string token_bytes(std::int32_t id) const = 0;
  // As written in tokenizer.json.
  virtual std::string_view token_text(std::int32_t id) const = 0;
  virtual std::optional<std::int32_t> token_id(std::string_view token) const = 0;
  virtual bool is_special(std::int32_t id) const = 0;
  virtual int vocab_size() const = 0;  // largest id + 1, added tokens included
};

}  // namespace dejavu
