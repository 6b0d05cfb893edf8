// A GenerationService over the demo model's tokenizer and a FakeEngine.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "engine/text/tokenizer.h"
#include "server/admin/metrics.h"
#include "server/generation_service.h"
#include "tests/support/fake_engine.h"
#include "tests/support/fake_sparsity.h"
#include "tests/support/recording_sink.h"

namespace dejavu {

std::shared_ptr<const Tokenizer> demo_tokenizer();

// "<role>content</role>" for each message, then "<assistant>" as the generation prompt; with
// `trims`, contents are stripped as some published templates do.
std::shared_ptr<const ChatTemplate> tag_template(bool trims = false);

struct ServiceFixture {
  struct Options {
    ServiceOptions service;
    FakeEngineOptions engine;
    nlohmann::json generation_config = nlohmann::json::object();
    std::shared_ptr<const ChatTemplate> chat_template = tag_template();
    int max_sequences = 0;
  };

  explicit ServiceFixture(FakeEngine::Script script) : ServiceFixture(std::move(script), {}) {}
  ServiceFixture(FakeEngine::Script script, Options options);

  // Runs the request to its end.
  std::shared_ptr<RecordingSink> run(GenerateRequest request);

  std::unique_ptr<Metrics> metrics = Metrics::create();
  FakeEngine engine;
  FakeSparsity sparsity;
  std::unique_ptr<GenerationService> service;
};

GenerateRequest text_request(const std::string& prompt);

}  // namespace dejavu
