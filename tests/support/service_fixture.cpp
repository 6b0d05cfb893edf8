#include "tests/support/service_fixture.h"

#include <spdlog/spdlog.h>

#include <stdexcept>

namespace dejavu {

namespace {

class TagTemplate final : public ChatTemplate {
 public:
  explicit TagTemplate(bool trims) : trims_(trims) {}

  Result<std::string> render(const nlohmann::ordered_json& variables) const override {
    std::string out = variables.value("prefix", variables.value("bos_token", ""));
    for (const auto& message : variables.at("messages")) {
      const std::string role = message.at("role");
      std::string content = message.at("content");
      if (role == "tool") return invalid("the template raised: no tools here", "messages");
      if (trims_) content.erase(content.find_last_not_of(' ') + 1);
      out += "<" + role + ">" + content + "</" + role + ">";
    }
    if (variables.at("add_generation_prompt")) out += "<assistant>";
    return out;
  }

 private:
  bool trims_;
};

}  // namespace

std::shared_ptr<const Tokenizer> demo_tokenizer() {
  auto tokenizer =
      Tokenizer::from_file(std::string(DEJAVU_SOURCE_DIR) + "/models/demo/tokenizer.json");
  if (!tokenizer) throw std::runtime_error(tokenizer.error().message);
  return *tokenizer;
}

std::shared_ptr<const ChatTemplate> tag_template(bool trims) {
  return std::make_shared<TagTemplate>(trims);
}

ServiceFixture::ServiceFixture(FakeEngine::Script script, Options options)
    : engine(options.engine, std::move(script)),
      service(GenerationService::create(options.service, *metrics)) {
  spdlog::set_level(spdlog::level::off);  // a line for every request
  GenerationService::Parts parts;
  parts.engine = &engine;
  parts.sparsity = &sparsity;
  parts.tokenizer = demo_tokenizer();
  parts.chat_template = options.chat_template;
  parts.bos_token = parts.eos_token = "</s>";
  parts.generation_config = options.generation_config;
  parts.eos_token_ids = {2};
  parts.model_root = "/models/demo";
  parts.max_sequences = options.max_sequences;
  if (auto status = service->attach(std::move(parts)); !status) {
    throw std::runtime_error(status.error().message);
  }
  service->set_state(ServiceState::kReady);
}

std::shared_ptr<RecordingSink> ServiceFixture::run(GenerateRequest request) {
  auto sink = std::make_shared<RecordingSink>();
  const auto call = service->generate(std::move(request), sink);
  if (!sink->wait_for_end()) throw std::runtime_error("the call did not end");
  return sink;
}

GenerateRequest text_request(const std::string& prompt) {
  GenerateRequest request;
  request.api = "completions";
  request.prompts = {prompt};
  return request;
}

}  // namespace dejavu
