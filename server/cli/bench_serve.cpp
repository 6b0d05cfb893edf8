// `dejavu bench serve`: the load client.
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <random>

#include "server/cli/commands.h"
#include "server/cli/json_file.h"
#include "server/grpc/load_target.h"
#include "server/load/http_target.h"
#include "server/load/prompts.h"
#include "server/load/report.h"
#include "server/load/run_load.h"
#include "server/load/url.h"

namespace dejavu {
namespace {

LoadSettings load_settings(const Config& config) {
  const std::vector<std::string>& keys = config.http.api_keys;
  return {.temperature = config.generate.temperature,
          .ignore_eos = config.generate.ignore_eos,
          .api_key = keys.empty() ? "" : keys.front()};
}

Result<std::unique_ptr<LoadTarget>> make_target(const Url& url, const LoadSettings& settings) {
  if (url.grpc) return make_grpc_target(url.authority(), settings);
  return make_http_target(url, settings);
}

void show_progress(const LoadProgress& progress, int total, bool last) {
  const bool terminal = isatty(STDERR_FILENO) == 1;
  std::fprintf(stderr, "%s%d of %d sent, %d ended, %d failed%s", terminal ? "\r" : "",
               progress.sent, total, progress.ended, progress.failed,
               terminal && !last ? "" : "\n");
}

}  // namespace

Result<int> run_bench_serve(const CommandLine& line) {
  const Config& config = line.config;
  const auto url = parse_url(config.client.url);
  if (!url) return tl::unexpected(url.error());
  const auto limits = parse_goodput(config.load.goodput);
  if (!limits) return tl::unexpected(limits.error());
  const auto target = make_target(*url, load_settings(config));
  if (!target) return tl::unexpected(target.error());
  const std::uint64_t seed = config.engine.seed != 0 ? config.engine.seed : std::random_device{}();
  const auto prompts = make_prompts(config.load, seed, **target);
  if (!prompts) return tl::unexpected(prompts.error());

  const int total = config.load.num_prompts;
  const LoadRun run =
      run_load(**target, *prompts, config.load, seed,
               [total](const LoadProgress& progress) { show_progress(progress, total, false); });
  const LoadReport report = make_report(run, *limits);
  const int ended = static_cast<int>(run.records.size());
  show_progress({ended, ended, ended - report.completed}, total, true);
  std::fputs(to_table(report).c_str(), stdout);

  nlohmann::ordered_json json = to_json(report);
  json["url"] = config.client.url;
  json["seed"] = seed;
  json["num_prompts"] = total;
  json["max_concurrency"] = config.load.max_concurrency;
  json["request_rate"] = std::isinf(config.load.request_rate)
                             ? nlohmann::ordered_json("inf")
                             : nlohmann::ordered_json(config.load.request_rate);
  json["burstiness"] = config.load.burstiness;
  if (const Status written = write_json_file(config.client.json_file, json); !written) {
    return tl::unexpected(written.error());
  }
  return report.completed == total ? 0 : 1;
}

}  // namespace dejavu
