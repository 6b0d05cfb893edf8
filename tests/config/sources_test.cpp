// Which source of a value wins, and what the file and the environment may say.
#include "config/sources.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

using namespace dejavu;

namespace {

// A TOML file for the length of a test.
class TomlFile {
 public:
  explicit TomlFile(const std::string& text)
      : path_(std::filesystem::temp_directory_path() /
              ("dejavu-config-test-" + std::to_string(reinterpret_cast<std::uintptr_t>(this)))) {
    std::ofstream(path_) << text;
  }
  ~TomlFile() { std::filesystem::remove(path_); }
  TomlFile(const TomlFile&) = delete;
  TomlFile& operator=(const TomlFile&) = delete;
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

Result<CommandLine> serve(std::vector<std::string> args, const Environment& env) {
  std::vector<const char*> words = {"serve"};
  for (const std::string& arg : args) words.push_back(arg.c_str());
  return parse_command_line(words, env);
}

std::string origin(const CommandLine& line, std::string_view name) {
  for (const Setting& setting : line.settings) {
    if (setting.spec->name == name) return setting.origin;
  }
  return "no such option";
}

}  // namespace

TEST_CASE("flag beats environment beats file beats default") {
  const TomlFile file("port = 1001\nmax_num_seqs = 11\ndtype = \"float32\"\npin = true\n");
  const Environment env = {
      {"DEJAVU_CONFIG", file.path()}, {"DEJAVU_HTTP_PORT", "1002"}, {"DEJAVU_MAX_NUM_SEQS", "12"}};
  const auto line = serve({"--port", "1003"}, env);
  REQUIRE(line);
  CHECK(line->config.http.port == 1003);
  CHECK(origin(*line, "port") == "--port");
  CHECK(line->config.engine.max_num_seqs == 12);
  CHECK(origin(*line, "max-num-seqs") == "DEJAVU_MAX_NUM_SEQS");
  CHECK(line->config.model.dtype == DTypeChoice::kF32);
  CHECK(line->config.backend.pin);
  CHECK(origin(*line, "dtype") == file.path());
  CHECK(origin(*line, "threads") == "default");
}

TEST_CASE("a file is checked as strictly as a flag") {
  const auto error = [](const std::string& text) {
    const TomlFile file(text);
    const auto line = serve({"--config", file.path()}, {});
    REQUIRE_FALSE(line);
    return line.error().message;
  };
  CHECK(error("prot = 1\n").find("did you mean port?") != std::string::npos);
  CHECK(error("a = 1\nport = [\n").find(":") != std::string::npos);
  CHECK(error("port = 70000\n").find("[0, 65535]") != std::string::npos);
  CHECK(error("[server]\nport = 1\n").find("server is not an option") != std::string::npos);
  CHECK(error("port = 2020-01-01\n").find("port") != std::string::npos);
  for (const std::string path : {"/does/not/exist.toml", "/tmp"}) {
    for (const bool flag : {true, false}) {
      const auto line = flag ? serve({"--config", path}, {}) : serve({}, {{"DEJAVU_CONFIG", path}});
      REQUIRE_FALSE(line);
      CHECK(line.error().message.starts_with("--config " + path + ": "));
    }
  }
}

TEST_CASE("a file may hold lists and options of other commands") {
  const TomlFile file("cors-origins = [\"a\", \"b\"]\nnum-prompts = 5\n");
  const auto line = serve({"--config", file.path()}, {});
  REQUIRE(line);
  CHECK(line->config.http.cors_origins == std::vector<std::string>{"a", "b"});
}

TEST_CASE("what Kubernetes puts into the environment does no harm") {
  const auto line = serve({}, {{"DEJAVU_PORT", "tcp://10.0.0.1:8000"},
                               {"DEJAVU_SERVICE_HOST", "10.0.0.1"},
                               {"DEJAVU_GRPC_PORT", "tcp://10.0.0.1:50051"}});
  REQUIRE(line);
  CHECK(line->config.http.port == 8000);
  CHECK(line->config.grpc.port == 50051);
  REQUIRE(line->warnings.size() == 1);
  for (const char* name : {"DEJAVU_PORT", "DEJAVU_SERVICE_HOST", "DEJAVU_GRPC_PORT"}) {
    CHECK(line->warnings[0].find(name) != std::string::npos);
  }
}

TEST_CASE("only DEJAVU_ variables are looked at, and an empty one counts as not set") {
  const char* entries[] = {"PATH=/bin", "DEJAVU_THREADS=2", "DEJAVU_API_KEY=a=b",
                           "DEJAVU_HOST=", nullptr};
  const Environment env = dejavu_environment(entries);
  CHECK(env.size() == 3);
  const auto line = serve({}, env);
  REQUIRE(line);
  CHECK(line->config.backend.threads == 2);
  CHECK(line->config.http.api_keys == std::vector<std::string>{"a=b"});
  CHECK(line->config.http.host == HttpOptions{}.host);
}

TEST_CASE("print-config is TOML that reads back, with sources and without secrets") {
  const auto line =
      serve({"--port", "9", "--stop-me-not"}, {});  // unknown: the line must fail, not print
  CHECK_FALSE(line);
  const auto shown = serve({"--port", "9", "--api-key", "hidden", "--override-generation-config",
                            R"({"top_p": 0.5})", "--print-config"},
                           {{"DEJAVU_THREADS", "2"}});
  REQUIRE(shown);
  CHECK(shown->output.find("hidden") == std::string::npos);
  CHECK(shown->output.find("# --port") != std::string::npos);
  CHECK(shown->output.find("# DEJAVU_THREADS") != std::string::npos);
  const TomlFile file(shown->output);
  const auto again = serve({"--config", file.path()}, {});
  REQUIRE(again);
  CHECK(again->config.http.port == 9);
  CHECK(again->config.backend.threads == 2);
  CHECK(again->config.service.override_generation_config == R"({"top_p": 0.5})");
}
