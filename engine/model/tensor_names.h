// What Hugging Face checkpoints call the tensors of each family.
#pragma once

#include <string>
#include <string_view>

#include "engine/model/model_config.h"

namespace dejavu {

// Modules below "layers.N."; each has ".weight" and perhaps ".bias".
struct LayerNames {
  std::string_view attention_norm, q, k, v, out, mlp_norm, gate, up, down;
};

constexpr LayerNames layer_names(ModelFamily family) {
  if (family == ModelFamily::kOpt) {
    return {"self_attn_layer_norm",
            "self_attn.q_proj",
            "self_attn.k_proj",
            "self_attn.v_proj",
            "self_attn.out_proj",
            "final_layer_norm",
            "",
            "fc1",
            "fc2"};
  }
  return {"input_layernorm",  "self_attn.q_proj", "self_attn.k_proj",
          "self_attn.v_proj", "self_attn.o_proj", "post_attention_layernorm",
          "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj"};
}

constexpr std::string_view kTokenTable = "embed_tokens.weight";
constexpr std::string_view kHead = "lm_head.weight";

// Checkpoints of the bare decoder lack the outer prefix. In order of preference.
constexpr std::string_view kOptPrefixes[] = {"model.decoder.", "decoder.", ""};
constexpr std::string_view kLlamaPrefixes[] = {"model.", ""};

}  // namespace dejavu
