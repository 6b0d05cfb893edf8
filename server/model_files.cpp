#include "server/model_files.h"

#include <spdlog/spdlog.h>

#include <fstream>
#include <iterator>

#include "server/hub/hub_cache.h"
#include "server/hub/hub_download.h"
#include "server/load_progress.h"

namespace dejavu {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kDemoName = "dejavu-demo";

Result<fs::path> demo_directory() {
  std::error_code error;
  const fs::path executable = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (const fs::path& candidate :
       {executable / "../models/demo", executable / "../share/dejavu/models/demo",
        fs::path(DEJAVU_DEMO_MODEL)}) {
    if (fs::exists(candidate / "config.json", error)) return fs::weakly_canonical(candidate);
  }
  return invalid("the demo model is not there: it belongs at " + std::string(DEJAVU_DEMO_MODEL) +
                     "; or name a model directory: dejavu serve MODEL",
                 "model");
}

// In the hub's cache, if need be after a download.
Result<ModelLocation> from_hub(const HubId& id, const std::string& model, bool offline) {
  const HubSettings settings = HubSettings::from_environment(offline);
  auto snapshot = HubCache(settings.cache, id).complete_snapshot();
  if (!snapshot && settings.offline)
    return fail(ErrorCode::kNotFound,
                "MODEL: " + model + " is not a directory, and not in the hub's cache at " +
                    settings.cache.string() + "; --offline (or HF_HUB_OFFLINE) forbids to fetch it",
                "model");
  if (!snapshot) {
    spdlog::info("downloading {} from {} to {}", model, settings.endpoint, settings.cache.string());
    LoadProgressDisplay display("downloading " + id.repository());
    auto fetched = download_model(id, settings, [&](std::uint64_t done, std::uint64_t total) {
      display.update(done, total);
    });
    display.finish();
    if (!fetched) return tl::unexpected(fetched.error());
    snapshot = *std::move(fetched);
  }
  return ModelLocation{*snapshot, id.repository(), model};
}

// {} when the file is absent.
Result<json> read_json(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error)) return json::object();
  const auto text = read_file(path);
  if (!text) return tl::unexpected(text.error());
  json value = json::parse(*text, nullptr, false);
  if (!value.is_object()) return invalid(path.string() + " is not a JSON object", "model");
  return value;
}

// A special token is written as a text or as {"content": …}.
std::string special_token(const json& config, const char* key) {
  const auto found = config.find(key);
  if (found == config.end()) return {};
  if (found->is_string()) return *found;
  return found->is_object() ? found->value("content", std::string()) : std::string();
}

// The template in tokenizer_config.json: one text, or a list of named ones with a "default".
std::string template_in(const json& config) {
  const auto found = config.find("chat_template");
  if (found == config.end()) return {};
  if (found->is_string()) return *found;
  if (!found->is_array()) return {};
  for (const json& entry : *found) {
    if (entry.is_object() && entry.value("name", std::string()) == "default") {
      return entry.value("template", std::string());
    }
  }
  return {};
}

Result<std::string> template_source(const fs::path& directory, const json& config) {
  const fs::path file = directory / "chat_template.jinja";
  std::error_code error;
  return fs::exists(file, error) ? read_file(file) : Result<std::string>(template_in(config));
}

Status add_chat_template(const fs::path& directory, const std::string& override_file,
                         const json& config, ModelText& out) {
  const auto source =
      override_file.empty() ? template_source(directory, config) : read_file(override_file);
  if (!source) return tl::unexpected(source.error());
  if (source->empty()) return {};
  auto compiled = ChatTemplate::compile(*source);
  if (compiled) {
    out.chat_template = *std::move(compiled);
  } else if (override_file.empty()) {
    out.chat_template_problem = compiled.error().message;
  } else {
    return invalid("--chat-template " + override_file + ": " + compiled.error().message,
                   "chat-template");
  }
  return {};
}

}  // namespace

Result<std::string> read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  if (!in) return invalid("cannot read " + path.string());
  return text;
}

Result<ModelLocation> locate_model(const std::string& model, bool offline) {
  if (model.empty()) {
    auto demo = demo_directory();
    if (!demo) return tl::unexpected(demo.error());
    return ModelLocation{*demo, kDemoName, kDemoName};
  }
  std::error_code error;
  if (!fs::is_directory(model, error)) {
    if (const auto id = parse_hub_id(model); id && !fs::exists(model, error))
      return from_hub(*id, model, offline);
    return invalid("MODEL: " + model +
                       " is not a directory; name one in Hugging Face layout (config.json, "
                       "*.safetensors, tokenizer.json), or a model on the hub as org/name",
                   "model");
  }
  const fs::path directory = fs::weakly_canonical(model, error);
  return ModelLocation{directory, directory.filename().string(), model};
}

Result<ModelText> read_model_text(const fs::path& directory,
                                  const std::string& chat_template_file) {
  auto tokenizer = Tokenizer::from_file(directory / "tokenizer.json");
  if (!tokenizer) return tl::unexpected(tokenizer.error());
  const auto config = read_json(directory / "tokenizer_config.json");
  if (!config) return tl::unexpected(config.error());
  auto generation_config = read_json(directory / "generation_config.json");
  if (!generation_config) return tl::unexpected(generation_config.error());
  ModelText out{.tokenizer = *std::move(tokenizer),
                .chat_template = nullptr,
                .chat_template_problem = {},
                .bos_token = special_token(*config, "bos_token"),
                .eos_token = special_token(*config, "eos_token"),
                .generation_config = *std::move(generation_config)};
  if (const Status done = add_chat_template(directory, chat_template_file, *config, out); !done) {
    return tl::unexpected(done.error());
  }
  return out;
}

}  // namespace dejavu
