#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "engine/model/model_config.h"

namespace dejavu {
namespace {

using nlohmann::json;
using Scaling = RopeConfig::Scaling;

const json kOpt = {{"model_type", "opt"},     {"architectures", {"OPTForCausalLM"}},
                   {"vocab_size", 50272},     {"hidden_size", 768},
                   {"num_hidden_layers", 12}, {"num_attention_heads", 12},
                   {"ffn_dim", 3072},         {"max_position_embeddings", 2048}};
const json kLlama = {{"model_type", "llama"},      {"architectures", {"LlamaForCausalLM"}},
                     {"vocab_size", 32000},        {"hidden_size", 4096},
                     {"num_hidden_layers", 32},    {"num_attention_heads", 32},
                     {"intermediate_size", 11008}, {"max_position_embeddings", 4096}};

json with(json base, const json& changes) {
  for (const auto& [key, value] : changes.items()) base[key] = value;
  return base;
}

ModelConfig accepted(const json& config) {
  const auto parsed = ModelConfig::parse(config.dump(), "config.json");
  if (!parsed) FAIL(parsed.error().message);
  return *parsed;
}

TEST_CASE("An OPT config says what OPT means by silence") {
  const ModelConfig config = accepted(kOpt);
  CHECK(config.family == ModelFamily::kOpt);
  CHECK(config.head_dim == 64);
  CHECK(config.kv_heads == 12);
  CHECK(config.embedding_size == 768);
  CHECK(config.norm_before);
  CHECK(config.final_norm);
  CHECK(config.tied_head);
  CHECK(config.qkv_bias);
  CHECK(config.activation == Activation::kRelu);
  CHECK_FALSE(config.stored_dtype);
  CHECK(config.parameter_count() == 125'239'296);  // as transformers counts facebook/opt-125m
}

TEST_CASE("OPT-350M is post-norm, with projections") {
  const ModelConfig config =
      accepted(with(kOpt, {{"do_layer_norm_before", false}, {"word_embed_proj_dim", 512}}));
  CHECK_FALSE(config.norm_before);
  CHECK_FALSE(config.final_norm);
  CHECK(config.embedding_size == 512);
}

TEST_CASE("A Llama config says what Llama means by silence") {
  const ModelConfig config = accepted(with(kLlama, {{"torch_dtype", "float16"}}));
  CHECK(config.kv_heads == 32);
  CHECK(config.head_dim == 128);
  CHECK(config.gated_mlp);
  CHECK_FALSE(config.tied_head);
  CHECK_FALSE(config.qkv_bias);
  CHECK(config.activation == Activation::kSilu);
  CHECK(config.rope.scaling == Scaling::kNone);
  CHECK(config.rope.theta == 10000.0F);
  CHECK(config.stored_dtype == DType::kF16);
  CHECK(config.norm_epsilon == 1e-6F);
  CHECK(config.parameter_count() == 6'738'415'616);  // Llama 2 7B
}

TEST_CASE("Families differ in what they leave out") {
  const ModelConfig mistral = accepted(
      with(kLlama, {{"model_type", "mistral"}, {"architectures", {"MistralForCausalLM"}}}));
  CHECK(mistral.kv_heads == 8);
  CHECK(mistral.sliding_window == 4096);
  CHECK(accepted(with(kLlama, {{"model_type", "mistral"},
                               {"architectures", {"MistralForCausalLM"}},
                               {"sliding_window", nullptr}}))
            .sliding_window == 0);

  const json qwen2 = with(
      kLlama,
      {{"model_type", "qwen2"}, {"architectures", {"Qwen2ForCausalLM"}}, {"sliding_window", 128}});
  CHECK(accepted(qwen2).qkv_bias);
  CHECK_FALSE(accepted(qwen2).attention_out_bias);
  CHECK(accepted(qwen2).window(31) == 0);
  const ModelConfig sliding =
      accepted(with(qwen2, {{"use_sliding_window", true}, {"max_window_layers", 4}}));
  CHECK(sliding.window(3) == 0);
  CHECK(sliding.window(4) == 128);

  const ModelConfig arcee =
      accepted(with(kLlama, {{"model_type", "arcee"}, {"architectures", {"ArceeForCausalLM"}}}));
  CHECK_FALSE(arcee.gated_mlp);
  CHECK(arcee.activation == Activation::kRelu2);
}

TEST_CASE("RoPE scalings are read in every published spelling") {
  const json llama3 = {{"factor", 8.0},
                       {"low_freq_factor", 1.0},
                       {"high_freq_factor", 4.0},
                       {"original_max_position_embeddings", 8192}};
  const json spellings[] = {
      {{"rope_theta", 500000.0}, {"rope_scaling", with(llama3, {{"rope_type", "llama3"}})}},
      {{"rope_theta", 500000}, {"rope_scaling", with(llama3, {{"type", "llama3"}})}},
      {{"rope_parameters", with(llama3, {{"rope_type", "llama3"}, {"rope_theta", 500000.0}})}}};
  for (const json& spelling : spellings) {
    const RopeConfig rope = accepted(with(kLlama, spelling)).rope;
    CHECK(rope.scaling == Scaling::kLlama3);
    CHECK(rope.theta == 500000.0F);
    CHECK(rope.factor == 8.0F);
    CHECK(rope.original_max_position == 8192);
  }
  const ModelConfig yarn =
      accepted(with(kLlama, {{"rope_scaling", {{"type", "yarn"}, {"factor", 4.0}}}}));
  CHECK(yarn.rope.attention_factor == Approx(0.1 * std::log(4.0) + 1.0));
  CHECK(yarn.longest_context() == 16384);
  CHECK(accepted(kLlama).longest_context() == 4096);
  CHECK(accepted(with(kLlama, {{"rope_scaling", nullptr}})).rope.scaling == Scaling::kNone);
}

TEST_CASE("Token ids may be one or a list") {
  CHECK(accepted(with(kLlama, {{"eos_token_id", 2}})).eos_token_ids == std::vector{2});
  CHECK(accepted(with(kLlama, {{"eos_token_id", {5, 7}}})).eos_token_ids == std::vector{5, 7});
  CHECK(accepted(with(kLlama, {{"eos_token_id", nullptr}})).eos_token_ids.empty());
}

TEST_CASE("fatrelu takes its threshold from either key") {
  CHECK(accepted(with(kLlama, {{"hidden_act", "fatrelu"}, {"hidden_act_param", 0.01}}))
            .activation_threshold == 0.01F);
  CHECK(accepted(with(kLlama, {{"hidden_act", "fatrelu"}, {"activation_threshold", 0.02}}))
            .activation_threshold == 0.02F);
}

TEST_CASE("A wrong config is refused by file, key and value") {
  struct Wrong {
    json base;
    json changes;
    std::vector<std::string> parts;
  };
  const std::int64_t huge = std::int64_t{1} << 40;
  const Wrong table[] = {
      {kOpt,
       {{"model_type", "gpt2"}},
       {"model_type", "'gpt2'", "opt, llama, mistral, qwen2, arcee"}},
      {kOpt, {{"model_type", 3}}, {"model_type", "string"}},
      {kOpt,
       {{"architectures", {"OPTForSequenceClassification"}}},
       {"architectures", "OPTForCausalLM"}},
      {kOpt, {{"architectures", "OPT"}}, {"architectures", "list"}},
      {kOpt, {{"activation_function", "tanh"}}, {"activation_function", "'tanh'", "relu, relu2"}},
      {kOpt, {{"quantization_config", json::object()}}, {"quantization_config", "not supported"}},
      {kOpt, {{"vocab_size", 0}}, {"vocab_size", "is 0", "from 1"}},
      {kOpt, {{"vocab_size", -5}}, {"vocab_size", "is -5"}},
      {kOpt, {{"vocab_size", 1.5}}, {"vocab_size", "is 1.5", "integer"}},
      {kOpt, {{"vocab_size", nullptr}}, {"vocab_size", "missing"}},
      {kOpt, {{"vocab_size", "many"}}, {"vocab_size", "\"many\""}},
      {kOpt, {{"hidden_size", huge}}, {"hidden_size", std::to_string(huge)}},
      {kOpt, {{"ffn_dim", 18446744073709551615U}}, {"ffn_dim", "18446744073709551615"}},
      {kOpt, {{"num_hidden_layers", 100000}}, {"num_hidden_layers", "100000"}},
      {kOpt, {{"num_attention_heads", 7}}, {"num_attention_heads", "(7)", "hidden_size (768)"}},
      {kOpt, {{"max_position_embeddings", huge}}, {"max_position_embeddings"}},
      {kOpt, {{"do_layer_norm_before", 1}}, {"do_layer_norm_before", "true or false"}},
      {kOpt, {{"torch_dtype", "float64"}}, {"torch_dtype", "'float64'", "bfloat16"}},
      {kOpt, {{"eos_token_id", "x"}}, {"eos_token_id", "token id"}},
      {kLlama, {{"num_key_value_heads", 5}}, {"num_key_value_heads", "(5)", "(32)"}},
      {kLlama, {{"num_key_value_heads", 64}}, {"num_key_value_heads", "(64)"}},
      {kLlama, {{"head_dim", 13}}, {"head_dim", "13", "even"}},
      {kLlama, {{"rms_norm_eps", -1.0}}, {"rms_norm_eps", "negative"}},
      {kLlama, {{"rope_theta", 0}}, {"rope_theta", "greater than 1"}},
      {kLlama, {{"partial_rotary_factor", 0.5}}, {"partial_rotary_factor"}},
      {kLlama,
       {{"rope_scaling", {{"type", "longrope"}}}},
       {"rope_scaling.type", "'longrope'", "yarn"}},
      {kLlama, {{"rope_scaling", {{"type", "linear"}}}}, {"rope_scaling.factor", "missing"}},
      {kLlama, {{"rope_scaling", {{"type", "linear"}, {"factor", 0.5}}}}, {"factor", "at least 1"}},
      {kLlama,
       {{"rope_parameters", {{"full_attention", {{"rope_type", "default"}}}}}},
       {"rope_parameters.full_attention", "not supported"}},
      {kLlama, {{"rope_scaling", 4}}, {"rope_scaling", "object"}},
      {kLlama,
       {{"rope_parameters", {{"rope_type", "llama3"}, {"factor", 2}}}},
       {"rope_parameters.low_freq_factor", "missing"}},
      {kLlama, {{"hidden_act", "fatrelu"}}, {"hidden_act_param", "missing"}},
      {kLlama,
       {{"hidden_act", "fatrelu"}, {"hidden_act_param", -1}},
       {"hidden_act_param", "negative"}},
      {with(kLlama, {{"model_type", "qwen2"}, {"architectures", {"Qwen2ForCausalLM"}}}),
       {{"use_sliding_window", true}, {"layer_types", {"sliding_attention"}}},
       {"layer_types"}},
  };
  for (const Wrong& wrong : table) {
    INFO(wrong.changes.dump());
    const auto parsed =
        ModelConfig::parse(with(wrong.base, wrong.changes).dump(), "dir/config.json");
    REQUIRE_FALSE(parsed);
    INFO(parsed.error().message);
    CHECK(parsed.error().message.starts_with("dir/config.json: "));
    for (const std::string& part : wrong.parts)
      CHECK(parsed.error().message.find(part) != std::string::npos);
  }
  CHECK_FALSE(ModelConfig::parse("", "config.json"));
  CHECK_FALSE(ModelConfig::parse("[1]", "config.json"));
  CHECK_FALSE(ModelConfig::parse(R"({"hidden_size":)" + std::string(100000, '['), "config.json"));
}

TEST_CASE("Named shapes have their published sizes") {
  const std::pair<std::string_view, double> billions[] = {
      {"opt-125m", 0.125},      {"opt-350m", 0.331},     {"opt-1.3b", 1.316},
      {"opt-2.7b", 2.652},      {"opt-6.7b", 6.658},     {"opt-13b", 12.853},
      {"opt-30b", 29.97},       {"opt-66b", 65.72},      {"opt-175b", 174.6},
      {"llama-2-7b", 6.738},    {"llama-2-13b", 13.016}, {"llama-2-70b", 68.977},
      {"llama-3-8b", 8.030},    {"llama-3.2-1b", 1.236}, {"qwen2-0.5b", 0.494},
      {"qwen2-7b", 7.616},      {"mistral-7b", 7.248},   {"smollm2-135m", 0.1345},
      {"tinyllama-1.1b", 1.100}};
  for (const auto& [name, size] : billions) {
    const auto config = ModelConfig::named_shape(name);
    REQUIRE(config);
    INFO(name);
    CHECK(static_cast<double>(config->parameter_count()) * 1e-9 == Approx(size).epsilon(0.005));
  }
  const auto unknown = ModelConfig::named_shape("gpt-5");
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().message.find("opt-1.3b") != std::string::npos);
}

}  // namespace
}  // namespace dejavu
