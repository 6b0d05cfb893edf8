#include "server/load/report.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <numeric>

namespace dejavu {
namespace {

Spread spread(std::vector<double> seconds) {
  if (seconds.empty()) return {};
  std::sort(seconds.begin(), seconds.end());
  // Between the two nearest ranks, as NumPy does by default.
  const auto percentile = [&](double share) {
    const double rank = share * static_cast<double>(seconds.size() - 1);
    const auto below = static_cast<std::size_t>(rank);
    const std::size_t above = std::min(below + 1, seconds.size() - 1);
    return 1e3 * std::lerp(seconds[below], seconds[above], rank - static_cast<double>(below));
  };
  const double sum = std::accumulate(seconds.begin(), seconds.end(), 0.0);
  return {1e3 * sum / static_cast<double>(seconds.size()), percentile(0.5), percentile(0.9),
          percentile(0.99)};
}

bool within(double value, const std::optional<double>& limit) { return !limit || value <= *limit; }

double per_second(double count, const LoadReport& report) {
  return report.seconds > 0 ? count / report.seconds : 0;
}

std::string row(const char* name, const Spread& s) {
  char line[128];
  std::snprintf(line, sizeof line, "%-28s %10.2f %10.2f %10.2f %10.2f\n", name, s.mean, s.p50,
                s.p90, s.p99);
  return line;
}

std::string row(const char* name, double value) {
  char line[128];
  std::snprintf(line, sizeof line, "%-28s %10.2f\n", name, value);
  return line;
}

void add_spread(nlohmann::ordered_json& out, const std::string& name, const Spread& s) {
  out["mean_" + name + "_ms"] = s.mean;
  out["p50_" + name + "_ms"] = s.p50;
  out["p90_" + name + "_ms"] = s.p90;
  out["p99_" + name + "_ms"] = s.p99;
}

}  // namespace

Result<GoodputLimits> parse_goodput(const std::vector<std::string>& items) {
  GoodputLimits limits;
  for (const std::string& item : items) {
    const std::size_t colon = item.find(':');
    const std::string name = item.substr(0, colon);
    std::optional<double>* limit = name == "ttft"   ? &limits.ttft
                                   : name == "tpot" ? &limits.tpot
                                   : name == "e2el" ? &limits.e2el
                                                    : nullptr;
    double ms = 0;
    const char* end = item.data() + item.size();
    const bool number = colon != std::string::npos &&
                        std::from_chars(item.data() + colon + 1, end, ms).ptr == end && ms > 0;
    if (limit == nullptr || !number) {
      return invalid("--goodput: '" + item + "' is not ttft:MS, tpot:MS or e2el:MS", "goodput");
    }
    *limit = ms / 1e3;
  }
  return limits;
}

LoadReport make_report(const LoadRun& run, const GoodputLimits& limits) {
  LoadReport report;
  report.seconds = run.seconds;
  if (limits.ttft || limits.tpot || limits.e2el) report.good = 0;
  std::vector<double> ttft;
  std::vector<double> tpot;
  std::vector<double> itl;
  std::vector<double> e2el;
  for (const LoadRecord& record : run.records) {
    if (!record.error.empty()) {
      ++report.errors[record.error];
      continue;
    }
    ++report.completed;
    report.input_tokens += record.prompt_tokens;
    report.output_tokens += record.completion_tokens;
    ttft.push_back(record.ttft);
    if (record.completion_tokens > 1) tpot.push_back(record.tpot());
    itl.insert(itl.end(), record.gaps.begin(), record.gaps.end());
    e2el.push_back(record.e2e);
    if (report.good && within(record.ttft, limits.ttft) && within(record.tpot(), limits.tpot) &&
        within(record.e2e, limits.e2el)) {
      ++*report.good;
    }
  }
  report.ttft = spread(std::move(ttft));
  report.tpot = spread(std::move(tpot));
  report.itl = spread(std::move(itl));
  report.e2el = spread(std::move(e2el));
  return report;
}

std::string to_table(const LoadReport& report) {
  int failed = 0;
  for (const auto& [message, count] : report.errors) failed += count;
  std::string out =
      row("requests completed", report.completed) + row("requests failed", failed) +
      row("duration (s)", report.seconds) +
      row("requests/s", per_second(report.completed, report)) +
      row("input tokens/s", per_second(static_cast<double>(report.input_tokens), report)) +
      row("output tokens/s", per_second(static_cast<double>(report.output_tokens), report));
  if (report.good) out += row("goodput (requests/s)", per_second(*report.good, report));
  char header[128];
  std::snprintf(header, sizeof header, "\n%-28s %10s %10s %10s %10s\n", "ms", "mean", "p50", "p90",
                "p99");
  out += header + row("time to first token", report.ttft) +
         row("time per output token", report.tpot) + row("inter-token latency", report.itl) +
         row("end to end", report.e2el);
  for (const auto& [message, count] : report.errors) {
    out += "error, " + std::to_string(count) + " times: " + message + '\n';
  }
  return out;
}

nlohmann::ordered_json to_json(const LoadReport& report) {
  int failed = 0;
  for (const auto& [message, count] : report.errors) failed += count;
  nlohmann::ordered_json out = {
      {"duration", report.seconds},
      {"completed", report.completed},
      {"failed", failed},
      {"total_input_tokens", report.input_tokens},
      {"total_output_tokens", report.output_tokens},
      {"request_throughput", per_second(report.completed, report)},
      {"input_throughput", per_second(static_cast<double>(report.input_tokens), report)},
      {"output_throughput", per_second(static_cast<double>(report.output_tokens), report)},
      {"request_goodput", nullptr}};
  if (report.good) out["request_goodput"] = per_second(*report.good, report);
  add_spread(out, "ttft", report.ttft);
  add_spread(out, "tpot", report.tpot);
  add_spread(out, "itl", report.itl);
  add_spread(out, "e2el", report.e2el);
  out["errors"] = report.errors;
  return out;
}

}  // namespace dejavu
