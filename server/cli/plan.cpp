// `dejavu plan`: does a model fit here, how fast could it be, and with which flags?
#include "server/plan/plan.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "engine/backend/factory.h"
#include "engine/model/stored_model.h"
#include "server/cli/commands.h"
#include "server/cli/json_file.h"
#include "server/model_stack.h"

namespace dejavu {
namespace {

// Past any cache, and a small part of what a machine has.
constexpr std::size_t kProbeBytes = std::size_t{1} << 30;
constexpr int kProbes = 5;

double median_bandwidth(Backend& backend) {
  const std::size_t bytes = std::min(kProbeBytes, backend.info().memory_bytes / 4);
  std::vector<double> samples;
  for (int i = 0; i < kProbes; ++i) samples.push_back(backend.measure_read_bandwidth(bytes));
  std::ranges::nth_element(samples, samples.begin() + kProbes / 2);
  return samples[kProbes / 2];
}

Status read_shape(const std::string& name, PlanInput& input) {
  auto shape = ModelConfig::named_shape(name);
  if (!shape) return tl::unexpected(shape.error());
  input.model = "MODEL";
  input.config = *std::move(shape);
  input.stored = input.config.stored_dtype.value_or(DType::kBF16);
  return {};
}

Status read_model(const ModelShape& model, PlanInput& input) {
  auto stored = open_stored_model(model.directory(), SafetensorsPart::kHeader);
  if (!stored) return tl::unexpected(stored.error());
  input.model = model.command_name();
  input.config = std::move(stored->config);
  input.stored = stored->dtype;
  return {};
}

}  // namespace

Result<int> run_plan(const CommandLine& line) {
  const Config& config = line.config;
  const std::string& shape = config.bench.shape;
  if (!shape.empty() && !config.model.model.empty()) {
    return invalid("--shape: give either a shape or a MODEL", "shape");
  }
  PlanInput input;
  std::optional<Artifact> artifact;
  if (!shape.empty()) {
    if (Status read = read_shape(shape, input); !read) return tl::unexpected(read.error());
  } else {
    const auto model = ModelShape::locate(config.model.model, config.model.offline);
    if (!model) return tl::unexpected(model.error());
    if (Status read = read_model(*model, input); !read) return tl::unexpected(read.error());
    auto found = find_artifact(config.sparsity.artifact_directory, model->directory());
    if (!found) return tl::unexpected(found.error());
    if (*found) artifact = std::move((*found)->artifact);
  }
  input.dtype = transformer_options(config).dtype.value_or(input.stored);
  input.engine = config.engine;
  input.max_model_len = config.model.max_model_len;
  input.artifact = artifact ? &*artifact : nullptr;
  const auto backend = make_backend(config.backend);
  if (!backend) return tl::unexpected(backend.error());
  input.machine = (*backend)->info();
  input.read_gbps = median_bandwidth(**backend);

  const Plan plan = make_plan(std::move(input));
  std::fputs(to_table(plan).c_str(), stdout);
  if (Status done = write_json_file(config.client.json_file, to_json(plan)); !done)
    return tl::unexpected(done.error());
  return plan.fits ? 0 : 1;
}

}  // namespace dejavu
