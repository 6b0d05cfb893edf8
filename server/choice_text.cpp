#include "server/choice_text.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "engine/text/utf8.h"

namespace dejavu {

ChoiceText::ChoiceText(std::shared_ptr<const Tokenizer> tokenizer, const ChoiceTextOptions& options)
    : detokenizer_(std::move(tokenizer), options.skip_special_tokens),
      matcher_(options.stops, options.include_stop),
      include_stop_(options.include_stop),
      min_tokens_(options.min_tokens),
      characters_(options.first_offset) {}

ChoiceText::Piece ChoiceText::append(std::int32_t token, bool ends) {
  ++tokens_;
  const auto offset = static_cast<int>(characters_);
  Piece piece;
  if (!ends || include_stop_) piece = feed(detokenizer_.append(token));
  piece.offset = offset;
  return piece;
}

ChoiceText::Piece ChoiceText::finish() {
  Piece piece = feed(detokenizer_.finish());
  if (!piece.stop) piece.text += matcher_.finish();
  return piece;
}

ChoiceText::Piece ChoiceText::feed(const std::string& text) {
  characters_ += count_code_points(text);
  auto found = matcher_.append(text, tokens_ > min_tokens_);
  return {std::move(found.text), std::move(found.matched), 0};
}

std::string lossy_token_text(const Tokenizer& tokenizer, std::int32_t id) {
  Utf8Assembler assembler;
  std::string text = assembler.append(tokenizer.token_bytes(id));
  return text + assembler.finish();
}

TokenText make_token_text(const Tokenizer& tokenizer, const TokenLogprob& logprob, int offset) {
  TokenText entry;
  entry.token = logprob.token;
  entry.bytes = tokenizer.token_bytes(logprob.token);
  entry.text = lossy_token_text(tokenizer, logprob.token);
  entry.logprob = logprob.logprob;
  entry.rank = logprob.rank;
  entry.text_offset = offset;
  entry.top.reserve(logprob.top.size());
  for (const auto& [token, value] : logprob.top) {
    TokenText::Alternative alternative;
    alternative.token = token;
    alternative.bytes = tokenizer.token_bytes(token);
    alternative.text = lossy_token_text(tokenizer, token);
    alternative.logprob = value;
    entry.top.push_back(std::move(alternative));
  }
  return entry;
}

std::vector<TokenText> make_prompt_logprobs(const std::shared_ptr<const Tokenizer>& tokenizer,
                                            const EncodedPrompt& prompt,
                                            const std::vector<TokenLogprob>& logprobs) {
  std::vector<TokenText> entries;
  entries.reserve(prompt.ids.size());
  Detokenizer detokenizer(tokenizer, true);
  std::size_t bytes = 0;  // of the text before the token
  std::size_t characters = 0;
  const std::string_view text = prompt.text;
  for (std::size_t i = 0; i < prompt.ids.size(); ++i) {
    const std::int32_t id = prompt.ids[i];
    TokenLogprob logprob = i < logprobs.size() ? logprobs[i] : TokenLogprob{};
    logprob.token = id;
    entries.push_back(make_token_text(*tokenizer, logprob, static_cast<int>(characters)));
    entries.back().has_logprob = i > 0;
    std::string shown;
    if (!tokenizer->is_special(id)) {
      shown = detokenizer.append(id);
    } else if (const std::string content = tokenizer->token_bytes(id);
               text.substr(std::min(bytes, text.size())).starts_with(content)) {
      shown = content;  // written in the text; one that the tokeniser added is not
    }
    bytes += shown.size();
    characters += count_code_points(shown);
  }
  return entries;
}

}  // namespace dejavu
