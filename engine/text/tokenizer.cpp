#include "engine/text/tokenizer.h"

#include <fstream>
#include <sstream>

#include "engine/text/added_tokens.h"
#include "engine/text/bpe.h"
#include "engine/text/decoder.h"
#include "engine/text/normalizer.h"
#include "engine/text/post_processor.h"
#include "engine/text/pre_tokenizer.h"
#include "engine/text/vocabulary.h"

namespace dejavu {
namespace {

std::vector<Normalizer> read_normalizers_of(const JsonPart& file) {
  const auto part = file.find("normalizer");
  return part ? read_normalizers(*part) : std::vector<Normalizer>();
}

std::vector<PreTokenizer> read_pre_tokenizers_of(const JsonPart& file) {
  const auto part = file.find("pre_tokenizer");
  return part ? read_pre_tokenizers(*part) : std::vector<PreTokenizer>();
}

AddedTokens read_added_tokens_of(const JsonPart& file, const std::vector<Normalizer>& normalizers,
                                 Vocabulary& vocabulary) {
  const nlohmann::json none = nlohmann::json::array();
  const auto part = file.find("added_tokens");
  return AddedTokens(part ? *part : JsonPart(none), normalizers, vocabulary);
}

PostProcessor read_post_processor_of(const JsonPart& file, const Vocabulary& vocabulary) {
  const auto part = file.find("post_processor");
  return part ? read_post_processor(*part, vocabulary) : PostProcessor();
}

Decoder read_decoder_of(const JsonPart& file) {
  const auto part = file.find("decoder");
  return part ? Decoder(*part) : Decoder();
}

class JsonTokenizer final : public Tokenizer {
 public:
  explicit JsonTokenizer(const JsonPart& file)
      : bpe_(file.at("model"), vocabulary_),
        normalizers_(read_normalizers_of(file)),
        added_(read_added_tokens_of(file, normalizers_, vocabulary_)),
        pre_tokenizers_(read_pre_tokenizers_of(file)),
        post_processor_(read_post_processor_of(file, vocabulary_)),
        decoder_(read_decoder_of(file)) {}

  std::vector<std::int32_t> encode(std::string_view text, bool add_special_tokens) const override {
    std::vector<std::int32_t> ids;
    if (add_special_tokens) ids = post_processor_.prefix;
    for (const AddedTokens::Segment& segment : added_.split_raw(text)) {
      if (segment.id) {
        ids.push_back(*segment.id);
      } else {
        encode_segment(segment.text, segment.text.data() == text.data(), ids);
      }
    }
    if (add_special_tokens) {
      ids.insert(ids.end(), post_processor_.suffix.begin(), post_processor_.suffix.end());
    }
    return ids;
  }

  std::unique_ptr<DecodeStream> decode_stream(bool skip_special_tokens) const override;

  std::string decode(std::span<const std::int32_t> ids, bool skip_special_tokens) const override {
    const std::unique_ptr<DecodeStream> stream = decode_stream(skip_special_tokens);
    std::string text;
    for (const std::int32_t id : ids) text += stream->append(id);
    return text + stream->finish();
  }

  std::string token_bytes(std::int32_t id) const override {
    std::string token(vocabulary_.token(id));
    return added_.is_added(id) ? token : decoder_.token_bytes(std::move(token));
  }
  std::string_view token_text(std::int32_t id) const override { return vocabulary_.token(id); }
  std::optional<std::int32_t> token_id(std::string_view token) const override {
    return vocabulary_.id(token);
  }
  // What one id contributes to a decoded text, before the decoder.
  std::string_view decoded_token(std::int32_t id) const {
    return added_.is_added(id) ? added_.decoded(id) : vocabulary_.token(id);
  }
  bool is_special(std::int32_t id) const override { return added_.is_special(id); }
  int vocab_size() const override { return vocabulary_.size(); }

 private:
  // Text between added tokens that were found in the text as given.
  void encode_segment(std::string_view text, bool at_start, std::vector<std::int32_t>& ids) const {
    std::string normalized(text);
    for (const Normalizer& n : normalizers_) normalized = n(std::move(normalized));
    for (const AddedTokens::Segment& segment : added_.split_normalized(normalized)) {
      if (segment.id) {
        ids.push_back(*segment.id);
        continue;
      }
      std::vector<Piece> pieces{
          {std::string(segment.text), at_start && segment.text.data() == normalized.data()}};
      for (const PreTokenizer& p : pre_tokenizers_) pieces = p(std::move(pieces));
      for (const Piece& p : pieces) bpe_.encode(p.text, ids);
    }
  }

  Vocabulary vocabulary_;
  Bpe bpe_;
  std::vector<Normalizer> normalizers_;
  AddedTokens added_;
  std::vector<PreTokenizer> pre_tokenizers_;
  PostProcessor post_processor_;
  Decoder decoder_;
};

class JsonDecodeStream final : public DecodeStream {
 public:
  JsonDecodeStream(const JsonTokenizer& tokenizer, DecodeChain chain, bool skip_special_tokens)
      : tokenizer_(tokenizer), chain_(std::move(chain)), skip_special_(skip_special_tokens) {}

  std::string append(std::int32_t id) override {
    const std::string_view token = tokenizer_.decoded_token(id);
    if (token.empty() || (skip_special_ && tokenizer_.is_special(id))) return {};
    return chain_.append(token);
  }
  std::string finish() override { return chain_.finish(); }

 private:
  const JsonTokenizer& tokenizer_;
  DecodeChain chain_;
  bool skip_special_;
};

std::unique_ptr<DecodeStream> JsonTokenizer::decode_stream(bool skip_special_tokens) const {
  return std::make_unique<JsonDecodeStream>(*this, decoder_.start(), skip_special_tokens);
}

}  // namespace

Result<std::shared_ptr<const Tokenizer>> Tokenizer::from_file(
    const std::filesystem::path& tokenizer_json) {
  const std::string name = tokenizer_json.string();
  const std::ifstream file(tokenizer_json, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  if (!file || content.fail()) {
    return invalid(name + ": cannot be read; check that the file exists and is readable");
  }
  try {
    const nlohmann::json json = nlohmann::json::parse(content.str());
    return std::make_shared<const JsonTokenizer>(JsonPart(json));
  } catch (const nlohmann::json::exception& e) {
    return invalid(name + ": is not valid JSON: " + e.what());
  } catch (const PartError& e) {
    return invalid(name + ": " + e.what());
  }
}

}  // namespace dejavu
