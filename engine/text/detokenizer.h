// Streaming detokenizer of one sequence: text comes out as soon as it is final and never holds half
// a UTF-8 character. Concatenated output equals Tokenizer::decode of all ids. One thread at a time.
#pragma once

#include <memory>
#include <string>

#include "engine/text/tokenizer.h"

namespace dejavu {

class Detokenizer {
 public:
  Detokenizer(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special_tokens);

  std::string append(std::int32_t id);
  // What was held back; incomplete bytes become U+FFFD.
  std::string finish();

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::unique_ptr<DecodeStream> stream_;
};

}  // namespace dejavu
