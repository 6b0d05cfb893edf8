// One choice's way from tokens to text: detokeniser, stop strings, and the entries of its logprobs.
// One thread at a time.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/text/detokenizer.h"
#include "engine/text/tokenizer.h"
#include "engine/token_stream.h"
#include "server/generation_service.h"
#include "server/prompt_encoder.h"
#include "server/stop_matcher.h"

namespace dejavu {

struct ChoiceTextOptions {
  bool skip_special_tokens = true;
  bool include_stop = false;  // the stop string or stop token's text belongs to the output
  std::vector<std::string> stops;
  int min_tokens = 0;            // stop strings are not looked for up to this many tokens
  std::size_t first_offset = 0;  // characters before the first generated one (echo)
};

class ChoiceText {
 public:
  struct Piece {
    std::string text;
    std::optional<std::string> stop;  // the stop string that ends the choice
    int offset = 0;                   // where the token begins, in characters
  };

  ChoiceText(std::shared_ptr<const Tokenizer> tokenizer, const ChoiceTextOptions& options);

  // `ends`: the engine stopped at this token (an end-of-sequence or stop id).
  Piece append(std::int32_t token, bool ends);
  // The engine has ended the sequence: what was held back.
  Piece finish();

  int tokens() const { return tokens_; }

 private:
  Piece feed(const std::string& text);

  Detokenizer detokenizer_;
  StopMatcher matcher_;
  bool include_stop_;
  int min_tokens_;
  int tokens_ = 0;
  std::size_t characters_;
};

// The bytes of one token as text: U+FFFD for what is not UTF-8 by itself.
std::string lossy_token_text(const Tokenizer& tokenizer, std::int32_t id);

TokenText make_token_text(const Tokenizer& tokenizer, const TokenLogprob& logprob, int offset);

// The logprob entries of a prompt, in step with its text.
std::vector<TokenText> make_prompt_logprobs(const std::shared_ptr<const Tokenizer>& tokenizer,
                                            const EncodedPrompt& prompt,
                                            const std::vector<TokenLogprob>& logprobs);

}  // namespace dejavu
