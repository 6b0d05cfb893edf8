#include "server/http/logprobs_json.h"

#include <algorithm>
#include <cstddef>
#include <string>

namespace dejavu {
namespace {

using nlohmann::ordered_json;

// JSON has no infinity; clients know vLLM's floor.
double finite(float logprob) {
  constexpr double kFloor = -9999.0;
  return std::max(static_cast<double>(logprob), kFloor);
}

ordered_json byte_list(const std::string& bytes) {
  ordered_json list = ordered_json::array();
  for (const char byte : bytes) list.push_back(static_cast<unsigned char>(byte));
  return list;
}

template <class Token>
ordered_json chat_token(const Token& token) {
  return {
      {"token", token.text}, {"logprob", finite(token.logprob)}, {"bytes", byte_list(token.bytes)}};
}

ordered_json prompt_entry(const std::string& text, float logprob, int rank) {
  return {{"logprob", finite(logprob)}, {"rank", rank}, {"decoded_token", text}};
}

}  // namespace

ordered_json completion_logprobs(const std::vector<TokenText>& tokens, int alternatives) {
  const auto limit = static_cast<std::size_t>(alternatives);
  ordered_json texts = ordered_json::array();
  ordered_json logprobs = ordered_json::array();
  ordered_json top = ordered_json::array();
  ordered_json offsets = ordered_json::array();
  for (const TokenText& token : tokens) {
    texts.push_back(token.text);
    offsets.push_back(token.text_offset);
    if (!token.has_logprob) {
      logprobs.push_back(nullptr);
      top.push_back(nullptr);
      continue;
    }
    logprobs.push_back(finite(token.logprob));
    ordered_json map = ordered_json::object();
    for (std::size_t i = 0; i < std::min(limit, token.top.size()); ++i)
      if (!map.contains(token.top[i].text)) map[token.top[i].text] = finite(token.top[i].logprob);
    if (!map.contains(token.text)) map[token.text] = finite(token.logprob);
    top.push_back(std::move(map));
  }
  return {{"tokens", std::move(texts)},
          {"token_logprobs", std::move(logprobs)},
          {"top_logprobs", std::move(top)},
          {"text_offset", std::move(offsets)}};
}

ordered_json chat_logprobs(const std::vector<TokenText>& tokens) {
  ordered_json content = ordered_json::array();
  for (const TokenText& token : tokens) {
    ordered_json entry = chat_token(token);
    ordered_json top = ordered_json::array();
    for (const TokenText::Alternative& other : token.top) top.push_back(chat_token(other));
    entry["top_logprobs"] = std::move(top);
    content.push_back(std::move(entry));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

ordered_json prompt_logprobs_json(const std::vector<TokenText>& tokens) {
  ordered_json list = ordered_json::array();
  for (const TokenText& token : tokens) {
    if (!token.has_logprob) {
      list.push_back(nullptr);
      continue;
    }
    ordered_json map = ordered_json::object();
    map[std::to_string(token.token)] = prompt_entry(token.text, token.logprob, token.rank);
    for (std::size_t i = 0; i < token.top.size(); ++i)
      map[std::to_string(token.top[i].token)] =
          prompt_entry(token.top[i].text, token.top[i].logprob, static_cast<int>(i) + 1);
    list.push_back(std::move(map));
  }
  return list;
}

}  // namespace dejavu
