#include "server/model_files.h"

#include <spdlog/spdlog.h>

#include <cstdlib>

#include "engine/core/read_file.h"
#include "server/hub/hub_cache.h"
#include "server/hub/hub_download.h"
#include "server/hub/hub_headers.h"
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

// Empty when the cache lacks something and it may be fetched.
Result<fs::path> from_cache(const HubId& id, const std::string& model,
                            const HubSettings& settings) {
  const fs::path snapshot = HubCache(settings.cache, id).current_snapshot();
  const std::vector<std::string> missing = HubCache::missing_files(snapshot);
  if (missing.empty()) return snapshot;
  if (!settings.offline) return fs::path();
  std::string what = "not in the hub's cache at " + settings.cache.string();
  std::error_code error;
  if (fs::exists(snapshot, error)) {
    what = "not complete in the hub's cache: " + snapshot.string() + " lacks";
    for (const std::string& file : missing) what += (&file == missing.data() ? " " : ", ") + file;
  }
  return fail(ErrorCode::kNotFound,
              "MODEL: " + model + " is not a directory, and " + what +
                  "; --offline (or HF_HUB_OFFLINE) forbids to fetch it",
              "model");
}

// In the hub's cache, if need be after a download.
Result<ModelLocation> from_hub(const HubId& id, const std::string& model, bool offline) {
  const HubSettings settings = HubSettings::from_environment(offline);
  auto snapshot = from_cache(id, model, settings);
  if (!snapshot) return tl::unexpected(snapshot.error());
  if (snapshot->empty()) {
    spdlog::info("downloading {} from {} to {}", model, settings.endpoint, settings.cache.string());
    LoadProgressDisplay display("downloading " + id.repository());
    snapshot = download_model(id, settings, [&](std::uint64_t done, std::uint64_t total) {
      display.update(done, total);
    });
    display.finish();
    if (!snapshot) return tl::unexpected(snapshot.error());
  }
  return ModelLocation{*std::move(snapshot), id.repository(), model};
}

// The model of the hub that `model` names, if it is no path.
std::optional<HubId> hub_id(const std::string& model) {
  std::error_code error;
  if (fs::exists(model, error)) return std::nullopt;
  return parse_hub_id(model);
}

// Removed with the last that holds it.
Result<std::shared_ptr<const fs::path>> temporary_folder() {
  std::error_code error;
  std::string name = (fs::temp_directory_path(error) / "dejavu-XXXXXX").string();
  if (error || ::mkdtemp(name.data()) == nullptr)
    return fail(ErrorCode::kInternal, "cannot make the folder " + name + "; set TMPDIR to another");
  return std::shared_ptr<const fs::path>(new fs::path(name), [](const fs::path* path) {
    std::error_code ignored;
    fs::remove_all(*path, ignored);
    delete path;
  });
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
  if (!override_file.empty()) {
    auto compiled = compile_chat_template(override_file);
    if (!compiled) return tl::unexpected(compiled.error());
    out.chat_template = *std::move(compiled);
    return {};
  }
  const auto source = template_source(directory, config);
  if (!source) return tl::unexpected(source.error());
  if (source->empty()) return {};
  auto compiled = ChatTemplate::compile(*source);
  if (compiled) {
    out.chat_template = *std::move(compiled);
  } else {
    out.chat_template_problem = compiled.error().message;
  }
  return {};
}

}  // namespace

Result<ModelLocation> locate_model(const std::string& model, bool offline) {
  if (model.empty()) {
    auto demo = demo_directory();
    if (!demo) return tl::unexpected(demo.error());
    return ModelLocation{*demo, kDemoName, kDemoName};
  }
  std::error_code error;
  if (!fs::is_directory(model, error)) {
    if (const auto id = hub_id(model)) return from_hub(*id, model, offline);
    return invalid("MODEL: " + model +
                       " is not a directory; name one in Hugging Face layout (config.json, "
                       "*.safetensors, tokenizer.json), or a model on the hub as org/name",
                   "model");
  }
  const fs::path directory = fs::weakly_canonical(model, error);
  return ModelLocation{directory, directory.filename().string(), model};
}

Result<ModelShape> ModelShape::locate(const std::string& model, bool offline) {
  ModelShape shape;
  const auto id = hub_id(model);
  if (!id) {
    auto location = locate_model(model, offline);
    if (!location) return tl::unexpected(location.error());
    shape.command_name_ = location->directory.string();
    shape.directory_ = std::move(location->directory);
    return shape;
  }
  shape.command_name_ = model;
  const HubSettings settings = HubSettings::from_environment(offline);
  auto cached = from_cache(*id, model, settings);
  if (!cached) return tl::unexpected(cached.error());
  shape.directory_ = *std::move(cached);
  if (!shape.directory_.empty()) return shape;
  const auto folder = temporary_folder();
  if (!folder) return tl::unexpected(folder.error());
  spdlog::info("reading the configuration and the weights' headers of {} from {}", model,
               settings.endpoint);
  if (Status done = fetch_headers(*id, settings, **folder); !done)
    return tl::unexpected(done.error());
  shape.directory_ = **folder;
  shape.temporary_ = *folder;
  return shape;
}

Result<std::shared_ptr<const ChatTemplate>> compile_chat_template(const std::string& file) {
  const auto refuse = [](const std::string& message) {
    return invalid("--chat-template " + message, "chat-template");
  };
  const auto source = read_file(file);
  if (!source) return refuse(source.error().message);
  if (source->empty()) return refuse(file + ": is empty");
  auto compiled = ChatTemplate::compile(*source);
  if (!compiled) return refuse(file + ": " + compiled.error().message);
  return std::shared_ptr<const ChatTemplate>(*std::move(compiled));
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
