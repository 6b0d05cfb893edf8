#include "server/load/prompts.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

namespace dejavu {
namespace {

// Ordinary words, so that the ids mean something to any tokenizer.
constexpr const char* kWords =
    "once upon a time there was a small village by the sea where people told each other stories "
    "about the weather the ships and the long way home every evening they lit a lamp and waited "
    "for news one day a letter came from far away it said that winter would be early this year "
    "and that everyone should gather wood bread and apples before the first snow fell";

Result<std::vector<LoadPrompt>> random_prompts(const LoadOptions& options, std::uint64_t seed,
                                               LoadTarget& target) {
  const auto pool = target.tokenize(kWords);
  if (!pool) return tl::unexpected(pool.error());
  if (pool->empty()) return invalid("--url: the server's tokenizer gave no tokens", "url");
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<std::size_t> pick(0, pool->size() - 1);
  std::vector<LoadPrompt> prompts(static_cast<std::size_t>(options.num_prompts));
  for (LoadPrompt& prompt : prompts) {
    prompt.max_tokens = options.random_output_len;
    for (int i = 0; i < options.random_input_len; ++i) prompt.ids.push_back((*pool)[pick(random)]);
  }
  return prompts;
}

Result<std::vector<std::string>> read_texts(const std::string& path, std::size_t most) {
  std::ifstream in(path);
  std::vector<std::string> texts;
  std::string line;
  while (texts.size() < most && std::getline(in, line)) {
    if (line.empty()) continue;
    const auto object = nlohmann::json::parse(line, nullptr, false);
    const bool prompt = object.is_object() && object.contains("prompt");
    const auto text = object.is_object()
                          ? object.value(prompt ? "prompt" : "text", nlohmann::json())
                          : nlohmann::json();
    if (!text.is_string()) {
      return invalid("--dataset: " + path +
                         ": each line must be a JSON object with a text in "
                         "\"prompt\" or \"text\"",
                     "dataset");
    }
    texts.push_back(text);
  }
  if (texts.empty())
    return invalid("--dataset: " + path + " cannot be read or is empty", "dataset");
  return texts;
}

}  // namespace

Result<std::vector<LoadPrompt>> make_prompts(const LoadOptions& options, std::uint64_t seed,
                                             LoadTarget& target) {
  if (options.dataset == "random") return random_prompts(options, seed, target);
  const auto count = static_cast<std::size_t>(options.num_prompts);
  const auto texts = read_texts(options.dataset, count);
  if (!texts) return tl::unexpected(texts.error());
  std::vector<LoadPrompt> prompts(count);
  for (std::size_t i = 0; i < count; ++i) {
    prompts[i].text = (*texts)[i % texts->size()];
    prompts[i].max_tokens = options.random_output_len;
  }
  return prompts;
}

}  // namespace dejavu
