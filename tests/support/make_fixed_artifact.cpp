// make_fixed_artifact MODEL OUT: writes fixed_artifact() of the model in MODEL, for tests that
// start the daemon.
#include <cstdio>
#include <filesystem>

#include "tests/support/fixed_artifact.h"

using namespace dejavu;

namespace {

Status make(const std::filesystem::path& model, const std::filesystem::path& out) {
  const auto config = ModelConfig::from_file(model / "config.json");
  if (!config) return tl::unexpected(config.error());
  const auto fingerprint = model_fingerprint(model);
  if (!fingerprint) return tl::unexpected(fingerprint.error());
  return save_artifact(out, fixed_artifact(*config, *fingerprint));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: make_fixed_artifact MODEL OUT\n");
    return 2;
  }
  const Status made = make(argv[1], argv[2]);
  if (!made) std::fprintf(stderr, "%s\n", made.error().message.c_str());
  return made ? 0 : 1;
}
