// Everything the service knows of the model it serves; immutable once attached.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/text/chat_template.h"
#include "engine/text/tokenizer.h"
#include "server/sampling_defaults.h"
#include "sparsity/control.h"

namespace dejavu {

struct LoadedModel {
  Engine* engine = nullptr;
  const SparsityControl* sparsity = nullptr;  // null: dense only
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_ptr<const ChatTemplate> chat_template;  // may be null
  std::string bos_token, eos_token;
  SamplingDefaults defaults;
  std::vector<std::string> names;  // served names, at least one
  std::string root;
  std::string fingerprint;
  std::size_t longest_token_bytes = 1;
  int max_model_len = 0;
  int vocab_size = 0;     // ids the model can embed
  int max_sequences = 0;  // admitted at once; 0: no limit here
  std::int64_t created = 0;
};

}  // namespace dejavu
