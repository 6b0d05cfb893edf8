#include "server/request_plan.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

namespace dejavu {

namespace {

constexpr std::int64_t kDefaultMaxTokens = 16;  // completions that name none
constexpr std::size_t kMaxStops = 4;
constexpr int kIntMax = std::numeric_limits<int>::max();

int clamp_to_int(std::int64_t value) {
  return static_cast<int>(std::min<std::int64_t>(value, kIntMax));
}

Status check_numbers(const SamplingFields& fields) {
  const std::pair<const char*, const std::optional<float>*> floats[] = {
      {"temperature", &fields.temperature},
      {"top_p", &fields.top_p},
      {"min_p", &fields.min_p},
      {"presence_penalty", &fields.presence_penalty},
      {"frequency_penalty", &fields.frequency_penalty},
      {"repetition_penalty", &fields.repetition_penalty},
  };
  for (const auto& [name, value] : floats) {
    if (*value && !std::isfinite(**value)) {
      return invalid(std::string(name) + " must be a finite number", name);
    }
  }
  for (const auto& [name, value] : {std::pair{"logprobs", &fields.logprobs},
                                    std::pair{"prompt_logprobs", &fields.prompt_logprobs}}) {
    if (*value && (**value < 0 || **value > kMaxLogprobs)) {
      return invalid(std::string(name) + " must be from 0 to " + std::to_string(kMaxLogprobs) +
                         ", got " + std::to_string(**value),
                     name);
    }
  }
  if (fields.top_k && *fields.top_k < -1) {
    return invalid(
        "top_k must be -1 or 0 (all tokens) or at least 1, got " + std::to_string(*fields.top_k),
        "top_k");
  }
  if (fields.min_tokens && *fields.min_tokens < 0) {
    return invalid("min_tokens must be at least 0, got " + std::to_string(*fields.min_tokens),
                   "min_tokens");
  }
  return {};
}

Status check_fields(const GenerateRequest& request) {
  const SamplingFields& fields = request.sampling;
  if (fields.stop.size() > kMaxStops) {
    return invalid("stop takes at most " + std::to_string(kMaxStops) + " strings, got " +
                       std::to_string(fields.stop.size()),
                   "stop");
  }
  if (std::any_of(fields.stop.begin(), fields.stop.end(),
                  [](const std::string& s) { return s.empty(); })) {
    return invalid("stop strings must not be empty", "stop");
  }
  const std::int64_t least = request.echo ? 0 : 1;
  if (fields.max_tokens && *fields.max_tokens < least) {
    return invalid("max_tokens must be at least 1 (0 only with echo), got " +
                       std::to_string(*fields.max_tokens),
                   "max_tokens");
  }
  if (request.timeout_ms && *request.timeout_ms < 1) {
    return invalid("timeout_ms must be at least 1, got " + std::to_string(*request.timeout_ms),
                   "timeout_ms");
  }
  if (request.truncate_prompt_tokens && *request.truncate_prompt_tokens != -1 &&
      *request.truncate_prompt_tokens < 1) {
    return invalid("truncate_prompt_tokens must be -1 (as many as fit) or at least 1, got " +
                       std::to_string(*request.truncate_prompt_tokens),
                   "truncate_prompt_tokens");
  }
  return check_numbers(fields);
}

// A word is banned at the start of a text and after a space, as in vLLM: the second form only where
// it is another sequence of as many tokens.
Result<std::vector<std::vector<std::int32_t>>> encode_bad_words(
    const LoadedModel& model, const std::vector<std::string>& words) {
  std::vector<std::vector<std::int32_t>> sequences;
  for (const std::string& word : words) {
    const std::string bare = word.substr(std::min(word.find_first_not_of(' '), word.size()));
    if (bare.empty()) return invalid("bad_words must not be empty", "bad_words");
    auto plain = model.tokenizer->encode(bare, false);
    auto spaced = model.tokenizer->encode(" " + bare, false);
    if (plain.empty()) return invalid("bad_words: '" + word + "' has no tokens", "bad_words");
    const bool differs = spaced.size() == plain.size() && spaced.front() != plain.front();
    sequences.push_back(std::move(plain));
    if (differs) sequences.push_back(std::move(spaced));
  }
  return sequences;
}

Result<SamplingParams> base_sampling(const LoadedModel& model, const GenerateRequest& request) {
  const SamplingFields& fields = request.sampling;
  const SamplingDefaults& defaults = model.defaults;
  auto bad_words = encode_bad_words(model, fields.bad_words);
  if (!bad_words) return tl::unexpected(bad_words.error());
  SamplingParams params;
  params.temperature = fields.temperature.value_or(defaults.temperature);
  params.top_p = fields.top_p.value_or(defaults.top_p);
  params.top_k = clamp_to_int(fields.top_k.value_or(defaults.top_k));
  params.min_p = fields.min_p.value_or(defaults.min_p);
  params.presence_penalty = fields.presence_penalty.value_or(0.0F);
  params.frequency_penalty = fields.frequency_penalty.value_or(0.0F);
  params.repetition_penalty = fields.repetition_penalty.value_or(defaults.repetition_penalty);
  params.logit_bias = fields.logit_bias;
  params.bad_words = std::move(*bad_words);
  params.allowed_token_ids = fields.allowed_token_ids;
  if (fields.seed) params.seed = static_cast<std::uint64_t>(*fields.seed);
  params.logprobs = fields.logprobs.value_or(-1);
  // Echoed text is scored like the rest.
  params.prompt_logprobs = fields.prompt_logprobs.value_or(request.echo ? params.logprobs : -1);
  params.min_tokens = clamp_to_int(fields.min_tokens.value_or(0));
  params.ignore_eos = fields.ignore_eos;
  params.stop_token_ids = fields.stop_token_ids;
  params.eos_token_ids = defaults.eos_token_ids;
  return params;
}

void truncate(const LoadedModel& model, const GenerateRequest& request,
              std::vector<std::int32_t>& ids) {
  if (!request.truncate_prompt_tokens) return;
  std::int64_t keep = *request.truncate_prompt_tokens;
  if (keep == -1) {
    const std::int64_t output =
        request.sampling.max_tokens.value_or(request.to_context_end ? 1 : kDefaultMaxTokens);
    keep = std::max<std::int64_t>(
        1, model.max_model_len - std::min<std::int64_t>(output, model.max_model_len));
  }
  if (static_cast<std::int64_t>(ids.size()) > keep) ids.erase(ids.begin(), ids.end() - keep);
}

// Explicit max_tokens must fit; a default one is clipped to the room left.
Result<int> resolve_max_tokens(const LoadedModel& model, const GenerateRequest& request,
                               const Prompt& prompt, std::size_t prompt_tokens) {
  const char* field = prompt_field(prompt);
  const std::int64_t room = model.max_model_len - static_cast<std::int64_t>(prompt_tokens);
  const auto& asked = request.sampling.max_tokens;
  const bool scoring_only = asked && *asked == 0;
  if (room < (scoring_only ? 0 : 1)) {
    return prompt_too_long(model.max_model_len, prompt, std::to_string(prompt_tokens));
  }
  if (asked) {
    if (*asked > room) {
      const auto total = static_cast<std::uint64_t>(*asked) + prompt_tokens;
      return context_length_error(model.max_model_len,
                                  "you requested " + std::to_string(total) + " tokens (" +
                                      std::to_string(prompt_tokens) + " in the " + field + ", " +
                                      std::to_string(*asked) +
                                      " in the completion). Please reduce the length of the " +
                                      field + " or the completion.",
                                  field);
    }
    return static_cast<int>(*asked);
  }
  const std::int64_t fallback = request.to_context_end ? room : kDefaultMaxTokens;
  return static_cast<int>(std::min(room, model.defaults.max_tokens.value_or(fallback)));
}

Result<PlannedPrompt> plan_prompt(const LoadedModel& model, const GenerateRequest& request,
                                  const SamplingParams& base, const Prompt& prompt) {
  EncodeOptions options;
  options.add_special_tokens = request.add_special_tokens;
  if (!request.truncate_prompt_tokens) options.context_tokens = model.max_model_len;
  auto encoded = encode_prompt(model, prompt, options);
  if (!encoded) return tl::unexpected(encoded.error());
  PlannedPrompt plan{std::move(*encoded), base};
  const std::size_t full = plan.prompt.ids.size();
  truncate(model, request, plan.prompt.ids);
  const bool needs_text = plan.prompt.text.empty() || plan.prompt.ids.size() < full;
  if (request.echo && needs_text) {
    plan.prompt.text = model.tokenizer->decode(plan.prompt.ids, request.skip_special_tokens);
  }
  const auto max_tokens = resolve_max_tokens(model, request, prompt, plan.prompt.ids.size());
  if (!max_tokens) return tl::unexpected(max_tokens.error());
  plan.sampling.max_tokens = *max_tokens;
  if (plan.sampling.min_tokens > plan.sampling.max_tokens) {
    return invalid("min_tokens (" + std::to_string(plan.sampling.min_tokens) +
                       ") must not exceed max_tokens (" + std::to_string(plan.sampling.max_tokens) +
                       ")",
                   "min_tokens");
  }
  if (auto status = validate(plan.sampling, model.vocab_size); !status) {
    return tl::unexpected(status.error());
  }
  return plan;
}

}  // namespace

Result<int> count_choices(const GenerateRequest& request, int max_n) {
  if (request.prompts.empty()) return invalid("a prompt is required", "prompt");
  if (request.n < 1) {
    return invalid("n must be at least 1, got " + std::to_string(request.n), "n");
  }
  const std::uint64_t choices =
      static_cast<std::uint64_t>(request.n) * static_cast<std::uint64_t>(request.prompts.size());
  if (choices > static_cast<std::uint64_t>(max_n)) {
    return invalid("n × prompts must be at most " + std::to_string(max_n) + ", got " +
                       std::to_string(request.n) + " × " + std::to_string(request.prompts.size()),
                   "n");
  }
  return static_cast<int>(choices);
}

Result<std::vector<PlannedPrompt>> plan_request(const LoadedModel& model,
                                                const GenerateRequest& request) {
  if (auto status = check_fields(request); !status) return tl::unexpected(status.error());
  const auto base = base_sampling(model, request);
  if (!base) return tl::unexpected(base.error());
  for (const auto& [ids, field] : {std::pair{&base->stop_token_ids, "stop_token_ids"},
                                   std::pair{&base->allowed_token_ids, "allowed_token_ids"}}) {
    if (auto status = check_token_ids(model, *ids, field); !status) {
      return tl::unexpected(status.error());
    }
  }
  std::vector<PlannedPrompt> plans;
  plans.reserve(request.prompts.size());
  for (const Prompt& prompt : request.prompts) {
    auto plan = plan_prompt(model, request, *base, prompt);
    if (!plan) return tl::unexpected(plan.error());
    plans.push_back(std::move(*plan));
  }
  return plans;
}

std::uint64_t choice_seed(std::uint64_t seed, int k) {
  if (k == 0) return seed;
  // splitmix64: neighbouring inputs give unrelated seeds.
  std::uint64_t z = seed + static_cast<std::uint64_t>(k) * 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

}  // namespace dejavu
