#include "engine/text/decoder.h"

#include "engine/text/bpe.h"
#include "engine/text/byte_level.h"
#include "engine/text/decode_steps.h"
#include "engine/text/pattern.h"
#include "engine/text/pre_tokenizer.h"
#include "engine/text/utf8.h"

namespace dejavu {
namespace {

constexpr std::int64_t kMaxStrip = 1 << 20;

std::string join(const std::vector<Fragment>& fragments) {
  std::string text;
  for (const Fragment& f : fragments) text.append(f.text);
  return text;
}

}  // namespace

std::string DecodeChain::append(std::string_view token) {
  std::vector<Fragment> current{{std::string(token), true}};
  for (const auto& step : steps_) {
    std::vector<Fragment> next;
    for (const Fragment& f : current) step->append(f, next);
    current = std::move(next);
  }
  return join(current);
}

std::string DecodeChain::finish() {
  std::vector<Fragment> current;
  for (const auto& step : steps_) {
    std::vector<Fragment> next;
    for (const Fragment& f : current) step->append(f, next);
    step->finish(next);
    current = std::move(next);
  }
  return join(current);
}

Decoder::Decoder() { steps_.emplace_back(make_join_with_spaces); }

Decoder::Decoder(const JsonPart& part) { read(part); }

DecodeChain Decoder::start() const {
  std::vector<std::unique_ptr<DecodeStep>> steps;
  steps.reserve(steps_.size());
  for (const auto& make : steps_) steps.push_back(make());
  return DecodeChain(std::move(steps));
}

std::string Decoder::token_bytes(std::string token) const {
  for (const auto& step : token_bytes_) token = step(std::move(token));
  return token;
}

void Decoder::read(const JsonPart& part) {
  const std::string type = part.at("type").text();
  const auto needs_whole_tokens = [this] {
    if (fused_) steps_.emplace_back(make_gather);
  };
  if (type == "Sequence") {
    for (const JsonPart& p : part.at("decoders").elements()) read(p);
  } else if (type == "ByteLevel") {
    steps_.emplace_back(make_byte_level);
    token_bytes_.emplace_back(from_byte_characters);
    fused_ = true;
  } else if (type == "ByteFallback") {
    needs_whole_tokens();
    steps_.emplace_back(make_byte_fallback);
    token_bytes_.emplace_back([](std::string token) {
      const auto byte = byte_of_token(token);
      return byte ? std::string(1, static_cast<char>(*byte)) : token;
    });
  } else if (type == "Fuse") {
    steps_.emplace_back(make_fuse);
    fused_ = true;
  } else if (type == "Replace") {
    needs_whole_tokens();
    const Regex pattern = read_pattern(part.at("pattern"));
    const std::string content = part.at("content").text();
    steps_.emplace_back([=] { return make_replace(pattern, content); });
    token_bytes_.emplace_back(
        [=](const std::string& token) { return pattern.replace(token, content); });
  } else if (type == "Strip") {
    const std::string content = part.at("content").text();
    if (count_code_points(content) != 1) part.at("content").fail("must be one character");
    const auto start = static_cast<std::size_t>(part.at("start").integer(0, kMaxStrip));
    const auto stop = static_cast<std::size_t>(part.at("stop").integer(0, kMaxStrip));
    steps_.emplace_back([=] { return make_strip(content, start, stop); });
  } else if (type == "Metaspace") {
    const std::string replacement = read_metaspace_replacement(part);
    const bool drop_first = read_prepend_scheme(part) != PrependScheme::kNever;
    steps_.emplace_back([=] { return make_metaspace(replacement, drop_first); });
    token_bytes_.emplace_back(
        [=](const std::string& token) { return replace_all(token, replacement, " "); });
  } else {
    part.fail("has the type '" + type +
              "', which is not supported; supported are Sequence, ByteLevel, ByteFallback, Fuse, "
              "Replace, Strip and Metaspace");
  }
}

}  // namespace dejavu
