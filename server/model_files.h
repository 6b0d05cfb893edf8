// What lies in a model directory beside the weights, and where the demo model is.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/core/result.h"
#include "engine/text/chat_template.h"
#include "engine/text/tokenizer.h"

namespace dejavu {

struct ModelLocation {
  std::filesystem::path directory;
  std::string name;  // what it is served as unless the options say otherwise
  std::string root;  // as it was named
};

// A directory; or org/name[@revision] on the hub, taken from its cache or else downloaded, which
// `offline` forbids. An empty `model` means the demo model: beside the executable's folder (a build
// or an installation), or where the sources were when it was built.
Result<ModelLocation> locate_model(const std::string& model, bool offline);

// A model's shape, for planning: as locate_model, but of a model on the hub that is not in the
// cache, the configuration and the weights' headers alone are fetched, for as long as this lives.
class ModelShape {
 public:
  static Result<ModelShape> locate(const std::string& model, bool offline);

  const std::filesystem::path& directory() const { return directory_; }
  const std::string& command_name() const { return command_name_; }  // after `dejavu serve`

 private:
  std::filesystem::path directory_;
  std::string command_name_;
  std::shared_ptr<const void> temporary_;  // removes the directory
};

struct ModelText {
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_ptr<const ChatTemplate> chat_template;  // null: none, or not usable
  std::string chat_template_problem;                  // why it is not usable
  std::string bos_token, eos_token;
  nlohmann::json generation_config;  // {} when absent
};

// --chat-template FILE: the error names the option and the file.
Result<std::shared_ptr<const ChatTemplate>> compile_chat_template(const std::string& file);

// tokenizer.json, tokenizer_config.json, chat_template.jinja and generation_config.json.
// `chat_template_file` goes before the model's own template, and its errors are errors; a template
// of the model that is not supported only switches chat off.
Result<ModelText> read_model_text(const std::filesystem::path& directory,
                                  const std::string& chat_template_file);

}  // namespace dejavu
