#include "server/sampling_defaults.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>

namespace dejavu {

namespace {

using nlohmann::json;

constexpr std::array<const char*, 7> kKeys{
    "temperature",       "top_p", "top_k", "min_p", "max_new_tokens", "eos_token_id",
    "repetition_penalty"};
constexpr const char* kOverride = "--override-generation-config";
constexpr const char* kModelFile = "generation_config.json";

tl::unexpected<Error> bad(const std::string& source, const char* key, const char* wanted) {
  return invalid(source + ": " + key + " must be " + wanted, source);
}

struct Range {
  double low, high;
  const char* text;
};

// Applies the keys of one source over what is there.
class Layer {
 public:
  Layer(std::string source, const json& values) : source_(std::move(source)), values_(values) {}

  Status number(const char* key, const Range& range, float& out, std::string& origin) const {
    const json* value = find(key);
    if (value == nullptr) return {};
    if (!value->is_number()) return bad(source_, key, range.text);
    const double number = value->get<double>();
    if (!(number >= range.low && number <= range.high)) return bad(source_, key, range.text);
    out = static_cast<float>(number);
    origin = source_;
    return {};
  }

  Result<std::optional<std::int64_t>> integer(const char* key, std::int64_t low,
                                              const char* wanted) const {
    const json* value = find(key);
    if (value == nullptr) return std::optional<std::int64_t>{};
    if (!value->is_number_integer() || value->get<std::int64_t>() < low) {
      return bad(source_, key, wanted);
    }
    return std::optional{value->get<std::int64_t>()};
  }

  Status token_ids(const char* key, std::vector<std::int32_t>& out) const {
    const json* value = find(key);
    if (value == nullptr) return {};
    const json list = value->is_array() ? *value : json::array({*value});
    std::vector<std::int32_t> ids;
    for (const json& id : list) {
      if (!id.is_number_integer() || id.get<std::int64_t>() < 0 ||
          id.get<std::int64_t>() > std::numeric_limits<std::int32_t>::max()) {
        return bad(source_, key, "a token id or a list of token ids");
      }
      ids.push_back(id.get<std::int32_t>());
    }
    out = std::move(ids);
    return {};
  }

  const std::string& source() const { return source_; }

 private:
  const json* find(const char* key) const {
    const auto it = values_.find(key);
    return it == values_.end() || it->is_null() ? nullptr : &*it;
  }

  std::string source_;
  const json& values_;
};

struct Origins {
  std::string temperature = "default", top_p = "default", top_k = "default", min_p = "default";
  std::string repetition_penalty = "default", max_tokens = "default";
};

Status apply(const Layer& layer, SamplingDefaults& out, Origins& origins) {
  const double most = std::numeric_limits<float>::max();
  const Range temperature{0, most, "a number of 0 or more"};
  const Range top_p{std::numeric_limits<double>::min(), 1, "a number above 0, at most 1"};
  const Range min_p{0, 1, "a number from 0 to 1"};
  const Range penalty{std::numeric_limits<double>::min(), 2, "a number above 0, at most 2"};
  if (auto s = layer.number("temperature", temperature, out.temperature, origins.temperature); !s)
    return s;
  if (auto s = layer.number("top_p", top_p, out.top_p, origins.top_p); !s) return s;
  if (auto s = layer.number("min_p", min_p, out.min_p, origins.min_p); !s) return s;
  if (auto s = layer.number("repetition_penalty", penalty, out.repetition_penalty,
                            origins.repetition_penalty);
      !s)
    return s;
  const auto top_k = layer.integer("top_k", -1, "an integer, -1 or 0 for all tokens");
  if (!top_k) return tl::unexpected(top_k.error());
  if (*top_k) {
    out.top_k =
        static_cast<int>(std::min<std::int64_t>(**top_k, std::numeric_limits<std::int32_t>::max()));
    origins.top_k = layer.source();
  }
  const auto max_tokens = layer.integer("max_new_tokens", 1, "an integer of 1 or more");
  if (!max_tokens) return tl::unexpected(max_tokens.error());
  if (*max_tokens) {
    out.max_tokens = *max_tokens;
    origins.max_tokens = layer.source();
  }
  return layer.token_ids("eos_token_id", out.eos_token_ids);
}

Result<json> parse_override(const std::string& text) {
  if (text.empty()) return json::object();
  json parsed = json::parse(text, nullptr, false);
  if (!parsed.is_object()) {
    return invalid(std::string(kOverride) + " must be a JSON object, e.g. {\"temperature\": 0.5}",
                   kOverride);
  }
  for (const auto& [key, value] : parsed.items()) {
    if (std::find(kKeys.begin(), kKeys.end(), key) == kKeys.end()) {
      std::string known;
      for (const char* name : kKeys) known += (known.empty() ? "" : ", ") + std::string(name);
      return invalid(std::string(kOverride) + ": unknown key '" + key + "'; known are " + known,
                     kOverride);
    }
  }
  return parsed;
}

std::string short_number(float value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%g", static_cast<double>(value));
  return text.data();
}

std::string describe(const SamplingDefaults& d, const Origins& o) {
  std::string ids;
  for (const std::int32_t id : d.eos_token_ids)
    ids += (ids.empty() ? "" : " ") + std::to_string(id);
  return "temperature " + short_number(d.temperature) + " (" + o.temperature + "), top_p " +
         short_number(d.top_p) + " (" + o.top_p + "), top_k " +
         (d.top_k > 0 ? std::to_string(d.top_k) : "all") + " (" + o.top_k + "), min_p " +
         short_number(d.min_p) + " (" + o.min_p + "), repetition_penalty " +
         short_number(d.repetition_penalty) + " (" + o.repetition_penalty + "), max_tokens " +
         (d.max_tokens ? std::to_string(*d.max_tokens) : "by API") + " (" + o.max_tokens +
         "), eos token ids " + (ids.empty() ? "none" : ids);
}

}  // namespace

Result<SamplingDefaults> merge_sampling_defaults(const SamplingDefaultSources& sources) {
  const auto override_values = parse_override(sources.override_json);
  if (!override_values) return tl::unexpected(override_values.error());
  SamplingDefaults defaults;
  Origins origins;
  defaults.eos_token_ids.assign(sources.model_eos_token_ids.begin(),
                                sources.model_eos_token_ids.end());
  if (auto s = apply(Layer(kModelFile, sources.generation_config), defaults, origins); !s) {
    return tl::unexpected(s.error());
  }
  if (auto s = apply(Layer(kOverride, *override_values), defaults, origins); !s) {
    return tl::unexpected(s.error());
  }
  defaults.description = describe(defaults, origins);
  return defaults;
}

}  // namespace dejavu
