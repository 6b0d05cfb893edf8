#include "engine/text/detokenizer.h"

namespace dejavu {

Detokenizer::Detokenizer(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special_tokens)
    : tokenizer_(std::move(tokenizer)), stream_(tokenizer_->decode_stream(skip_special_tokens)) {}

std::string Detokenizer::append(std::int32_t id) { return stream_->append(id); }

std::string Detokenizer::finish() { return stream_->finish(); }

}  // namespace dejavu
