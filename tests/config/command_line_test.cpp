#include "config/command_line.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <iterator>
#include <map>

using namespace dejavu;

namespace {

Result<CommandLine> parse(std::vector<const char*> args, const Environment& env = {}) {
  return parse_command_line(args, env);
}

std::string error_of(std::vector<const char*> args, const Environment& env = {}) {
  const auto line = parse(std::move(args), env);
  REQUIRE_FALSE(line);
  return line.error().message;
}

}  // namespace

TEST_CASE("defaults are those of the options structs") {
  const auto line = parse({"serve"});
  REQUIRE(line);
  CHECK(line->command == kServe);
  CHECK(line->config.http.port == HttpOptions{}.port);
  CHECK(line->config.engine.max_num_seqs == EngineOptions{}.max_num_seqs);
  CHECK(line->config.backend.device == DeviceChoice::kAuto);
  CHECK(line->warnings.empty());
  CHECK(non_default_options(*line).empty());
}

TEST_CASE("flags fill the fields they name") {
  const auto line = parse({"serve",           "some/model",
                           "--port",          "0",
                           "--host",          "0.0.0.0",
                           "--grpc-port",     "-1",
                           "--device",        "cpu",
                           "--dtype",         "bfloat16",
                           "--sparsity",      "dense",
                           "--pin",           "--no-enable-prefix-caching",
                           "--cors-origins",  "https://a.example,https://b.example",
                           "--api-key",       "one",
                           "--api-key",       "two",
                           "--drain-timeout", "2.5",
                           "--seed",          "7"});
  REQUIRE(line);
  const Config& config = line->config;
  CHECK(config.model.model == "some/model");
  CHECK(config.http.port == 0);
  CHECK(config.http.host == "0.0.0.0");
  CHECK(config.grpc.host == "0.0.0.0");
  CHECK(config.grpc.port == -1);
  CHECK(config.backend.device == DeviceChoice::kCpu);
  CHECK(config.model.dtype == DTypeChoice::kBF16);
  CHECK(config.sparsity.mode == SparsityDefault::kDense);
  CHECK(config.backend.pin);
  CHECK_FALSE(config.engine.prefix_caching);
  CHECK(config.http.cors_origins ==
        std::vector<std::string>{"https://a.example", "https://b.example"});
  CHECK(config.grpc.api_keys == std::vector<std::string>{"one", "two"});
  CHECK(config.app.drain_timeout_seconds == 2.5);
  CHECK(config.engine.seed == 7);
}

TEST_CASE("contextual sparsity has options of its own") {
  const auto line =
      parse({"serve", "--sparsity", "lookahead", "--sparsity-allow", "dense,lookahead",
             "--sparsity-artifact", "made/here", "--target-recall", "0.97", "--max-density", "0.4",
             "--inline-predictors", "--audit-interval", "0", "--audit-error-limit", "0.1"});
  REQUIRE(line);
  const SparsityOptions& sparsity = line->config.sparsity;
  CHECK(sparsity.mode == SparsityDefault::kLookahead);
  CHECK(sparsity.allow == std::vector<std::string>{"dense", "lookahead"});
  CHECK(sparsity.artifact_directory == "made/here");
  CHECK(sparsity.target_recall == 0.97);
  CHECK(sparsity.max_density == 0.4);
  CHECK(sparsity.inline_predictors);
  CHECK(sparsity.audit_interval == 0);
  CHECK(sparsity.audit_error_limit == 0.1);
  CHECK(error_of({"serve", "--sparsity", "sparse"}).find("auto|dense|exact|threshold|lookahead") !=
        std::string::npos);
  CHECK(error_of({"serve", "--sparsity-allow", "dense,auto"})
            .find("'auto' is not allowed here; use some of dense|exact|threshold|lookahead") !=
        std::string::npos);
  CHECK(error_of({"serve", "--target-recall", "1.5"}).find("[0, 1]") != std::string::npos);
}

TEST_CASE("MODEL may stand anywhere, and the last of a repeated flag holds") {
  const std::vector<std::vector<const char*>> orders = {
      {"serve", "m", "--port", "1", "--served-model-name", "a", "--port", "2"},
      {"serve", "--port", "1", "m", "--served-model-name", "a", "--port", "2"},
      {"serve", "--port", "1", "--port", "2", "--served-model-name", "a", "m"}};
  for (const auto& args : orders) {
    const auto line = parse(args);
    REQUIRE(line);
    CHECK(line->config.model.model == "m");
    CHECK(line->config.http.port == 2);
    CHECK(line->config.service.served_model_names == std::vector<std::string>{"a"});
  }
}

TEST_CASE("memory sizes take suffixes") {
  const std::pair<const char*, std::size_t> cases[] = {{"1073741824", std::size_t{1} << 30},
                                                       {"512M", std::size_t{512} << 20},
                                                       {"2GiB", std::size_t{2} << 30},
                                                       {"1.5G", std::size_t{3} << 29},
                                                       {"3K", 3072},
                                                       {"2GB", 2000000000},
                                                       {"1Ti", std::size_t{1} << 40},
                                                       {"0", 0}};
  for (const auto& [text, bytes] : cases) {
    const auto line = parse({"serve", "--kv-cache-memory", text});
    REQUIRE(line);
    CHECK(line->config.engine.kv_cache_bytes == bytes);
  }
  for (const char* wrong : {"2Q", "-1", "GiB", "1e3", "", "99999999T"}) {
    CHECK(error_of({"serve", "--kv-cache-memory", wrong}).starts_with("--kv-cache-memory: "));
  }
}

TEST_CASE("a wrong value names its option and the range") {
  CHECK(error_of({"serve", "--port", "65536"}).find("--port") == 0);
  CHECK(error_of({"serve", "--port", "65536"}).find("[0, 65535]") != std::string::npos);
  CHECK(error_of({"serve", "--max-num-seqs", "0"}).find("[1, ") != std::string::npos);
  CHECK(error_of({"serve", "--max-num-seqs", "1.5"}).find("--max-num-seqs") == 0);
  CHECK(error_of({"serve", "--device", "tpu"}).find("auto|cpu|cuda") != std::string::npos);
  CHECK(error_of({"serve", "--pin=perhaps"}).find("--pin") == 0);
  CHECK(error_of({"serve", "x", "y"}).find("'y'") != std::string::npos);
  CHECK(error_of({"serve", "--port", "1", "x", "y"}).find("'y'") != std::string::npos);
  CHECK(error_of({"serve"}, {{"DEJAVU_THREADS", "many"}}).find("DEJAVU_THREADS") !=
        std::string::npos);
}

TEST_CASE("an unknown word gets the nearest name") {
  CHECK(error_of({"serve", "--prot", "1"}).find("did you mean --port?") != std::string::npos);
  CHECK(error_of({"serve", "--max-num-seq=4"}).find("did you mean --max-num-seqs?") !=
        std::string::npos);
  CHECK(error_of({"sevre"}).find("did you mean serve?") != std::string::npos);
  CHECK(error_of({"health", "--max-num-seqs", "4"}).find("unknown option") == 0);
  CHECK(error_of({"serve", "--zzzzzzzz"}).find("did you mean") == std::string::npos);
}

TEST_CASE("bench serve is a command of its own") {
  const auto load = parse({"bench", "serve", "--request-rate", "inf", "--num-prompts", "3",
                           "--goodput", "ttft:200", "tpot:50"});
  REQUIRE(load);
  CHECK(load->command == kBenchServe);
  CHECK(load->config.load.num_prompts == 3);
  CHECK(load->config.load.goodput == std::vector<std::string>{"ttft:200", "tpot:50"});
  const auto bench = parse({"bench"});
  REQUIRE(bench);
  CHECK(bench->command == kBench);
}

TEST_CASE("values that look like flags or lists stay whole") {
  const auto line = parse({"generate", "-p", "-", "--top-k", "-1", "--stop", "a,b", "--stop", "c"});
  REQUIRE(line);
  CHECK(line->config.generate.prompt == "-");
  CHECK(line->config.generate.top_k == -1);
  CHECK(line->config.generate.stop == std::vector<std::string>{"a,b", "c"});
}

TEST_CASE("help and version are output, not errors") {
  const auto version = parse({"--version"});
  REQUIRE(version);
  CHECK(version->output.starts_with("dejavu "));
  for (const std::vector<const char*>& args :
       std::vector<std::vector<const char*>>{{"--help"},
                                             {"serve", "--help"},
                                             {"generate", "--help"},
                                             {"bench", "--help"},
                                             {"bench", "serve", "--help"},
                                             {"health", "--help"}}) {
    const auto help = parse(args);
    REQUIRE(help);
    CHECK(help->output.find("Usage: dejavu") != std::string::npos);
  }
  // The help of a command lists each of its options.
  const std::string help = parse({"serve", "--help"})->output;
  for (const OptionSpec& spec : option_table()) {
    if ((spec.commands & kServe) == 0) continue;
    const std::string name = spec.positional ? "MODEL" : std::string(spec.name);
    INFO(name);
    CHECK(help.find(name) != std::string::npos);
  }
}

TEST_CASE("every option is declared once a command, and its default passes its own check") {
  std::map<std::string_view, unsigned> commands;  // that have an option of this name
  for (const OptionSpec& spec : option_table()) {
    INFO(spec.name);
    CHECK((commands[spec.name] & spec.commands) == 0);
    commands[spec.name] |= spec.commands;
    Config config;
    const std::string text = render(spec, config);
    if (!text.empty()) CHECK(assign(spec, std::vector<std::string>{text}, config));
  }
}

TEST_CASE("docs/options.md is what the tables say") {
  std::ifstream file(DEJAVU_SOURCE_DIR "/docs/options.md");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  // When this fails: build/dejavu --help-markdown > docs/options.md
  CHECK(page == parse({"--help-markdown"})->output);
}
