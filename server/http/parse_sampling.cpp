#include "server/http/parse_sampling.h"

#include <charconv>
#include <string_view>
#include <utility>

namespace dejavu {
namespace {

using nlohmann::ordered_json;

constexpr IntRange kCounts{0, std::numeric_limits<std::int32_t>::max()};

std::vector<std::string> parse_stop(Fields& fields) {
  const ordered_json* stop = fields.any("stop");
  if (stop == nullptr) return {};
  std::vector<std::string> strings;
  if (stop->is_string())
    strings.push_back(stop->get<std::string>());
  else if (stop->is_array())
    strings = fields.text_list("stop");
  else
    fields.refuse("stop", "must be a string or a list of strings");
  return strings;
}

std::vector<std::pair<std::int32_t, float>> parse_logit_bias(Fields& fields) {
  std::vector<std::pair<std::int32_t, float>> biases;
  const ordered_json* map = fields.object("logit_bias");
  if (map == nullptr) return biases;
  for (const auto& [key, value] : map->items()) {
    std::int32_t id = 0;
    const char* end = key.data() + key.size();
    const auto parsed = std::from_chars(key.data(), end, id);
    if (parsed.ec != std::errc() || parsed.ptr != end || id < 0 || !value.is_number()) {
      fields.refuse("logit_bias", "must map token ids to numbers from -100 to 100");
      return {};
    }
    biases.emplace_back(id, value.get<float>());
  }
  return biases;
}

// A field that would change the answer if we had what it asks for.
struct Unserved {
  const char* field;
  std::string_view instead = "";  // our name for the same
  // What asks for nothing, beside null, false, [] and {}; always_asks: only null does.
  std::string_view neutral_text = "";
  double neutral_number = 0;
  bool always_asks = false;
};

bool asks_nothing(const ordered_json& value, const Unserved& unserved) {
  if (unserved.always_asks) return false;
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_string()) return value.get_ref<const std::string&>() == unserved.neutral_text;
  if (value.is_number()) return value.get<double>() == unserved.neutral_number;
  return (value.is_array() || value.is_object()) && value.empty();
}

constexpr Unserved kUnserved[] = {
    {.field = "tools"},
    {.field = "tool_choice", .neutral_text = "none"},
    {.field = "functions"},
    {.field = "function_call", .neutral_text = "none"},
    {.field = "guided_json"},
    {.field = "guided_regex"},
    {.field = "guided_choice"},
    {.field = "guided_grammar"},
    {.field = "structured_outputs"},
    {.field = "structural_tag"},
    {.field = "grammar"},
    {.field = "json_schema"},
    {.field = "regex"},
    {.field = "ebnf"},
    {.field = "suffix"},
    {.field = "prediction"},
    {.field = "audio"},
    {.field = "images"},
    {.field = "image_data"},
    {.field = "web_search_options", .always_asks = true},  // {} searches with the defaults
    {.field = "use_beam_search"},
    {.field = "length_penalty", .neutral_number = 1},
    {.field = "lora"},
    {.field = "prompt_embeds"},
    {.field = "logits_processors"},
    {.field = "documents"},
    {.field = "chat_template"},
    {.field = "return_token_ids"},
    {.field = "return_tokens_as_token_ids"},
    // Other servers' names of what we have.
    {.field = "repeat_penalty", .instead = "repetition_penalty", .neutral_number = 1},
    {.field = "n_predict", .instead = "max_tokens", .always_asks = true},
    {.field = "max_new_tokens", .instead = "max_tokens", .always_asks = true},
    {.field = "min_new_tokens", .instead = "min_tokens"},
    {.field = "n_probs", .instead = "logprobs"},
    // Samplers of other servers.
    {.field = "samplers"},
    {.field = "typical_p", .neutral_number = 1},
    {.field = "top_a"},
    {.field = "tfs", .neutral_number = 1},
    {.field = "top_n_sigma", .neutral_number = -1},
    {.field = "mirostat"},
    {.field = "dynatemp_range"},
    {.field = "xtc_probability"},
    {.field = "dry_multiplier"},
};

void refuse_response_format(Fields& fields) {
  const ordered_json* format = fields.object("response_format");
  if (format == nullptr) return;
  const auto type = format->find("type");
  if (type == format->end() || !type->is_string())
    fields.refuse("response_format", "needs a type");
  else if (*type != "text")
    fields.refuse("response_format", "of type " + type->get<std::string>() +
                                         " is not supported yet: only \"text\" is");
}

void refuse_modalities(Fields& fields) {
  for (const std::string& modality : fields.text_list("modalities"))
    if (modality != "text")
      fields.refuse("modalities", "can only be [\"text\"]: this server generates text");
}

}  // namespace

SamplingFields parse_sampling(Fields& fields) {
  SamplingFields sampling;
  sampling.temperature = fields.number("temperature");
  sampling.top_p = fields.number("top_p");
  sampling.min_p = fields.number("min_p");
  sampling.presence_penalty = fields.number("presence_penalty");
  sampling.frequency_penalty = fields.number("frequency_penalty");
  sampling.repetition_penalty = fields.number("repetition_penalty");
  sampling.top_k = fields.integer("top_k");
  sampling.min_tokens = fields.integer("min_tokens", kCounts);
  sampling.seed = fields.integer("seed");
  const auto legacy_limit = fields.integer("max_tokens", kCounts);
  const auto limit = fields.integer("max_completion_tokens", kCounts);
  sampling.max_tokens = limit ? limit : legacy_limit;
  sampling.logit_bias = parse_logit_bias(fields);
  sampling.bad_words = fields.text_list("bad_words");
  sampling.allowed_token_ids = fields.token_ids("allowed_token_ids");
  if (sampling.allowed_token_ids.empty() && fields.any("allowed_token_ids") != nullptr)
    fields.refuse("allowed_token_ids", "must not be empty: leave it out to allow every token");
  sampling.stop_token_ids = fields.token_ids("stop_token_ids");
  sampling.stop = parse_stop(fields);
  sampling.include_stop_str_in_output =
      fields.boolean("include_stop_str_in_output").value_or(false);
  sampling.ignore_eos = fields.boolean("ignore_eos").value_or(false);
  return sampling;
}

void refuse_unserved(Fields& fields) {
  for (const Unserved& unserved : kUnserved) {
    const ordered_json* value = fields.any(unserved.field);
    if (value == nullptr || asks_nothing(*value, unserved)) continue;
    fields.refuse(unserved.field,
                  unserved.instead.empty()
                      ? "is not supported by this server: leave it out"
                      : "is called " + std::string(unserved.instead) + " by this server");
  }
  refuse_response_format(fields);
  refuse_modalities(fields);
}

}  // namespace dejavu
