// A plan as text and as JSON.
#include <array>
#include <cstdio>

#include "server/load_progress.h"
#include "server/plan/plan.h"

namespace dejavu {
namespace {

// printf into a string.
template <class... Args>
std::string line(const char* format, Args... args) {
  std::array<char, 512> text{};
  std::snprintf(text.data(), text.size(), format, args...);
  return text.data();
}

std::string command(const Plan& plan) {
  std::string out = "dejavu serve " + plan.input.model;
  for (const std::string& flag : plan.flags) out += ' ' + flag;
  return out;
}

}  // namespace

std::string to_table(const Plan& plan) {
  const PlanInput& input = plan.input;
  const ModelConfig& config = input.config;
  std::string out;
  out += line("model     %s: %s, %d layers, width %d, %lld parameters, %s\n", input.model.c_str(),
              config.architecture.c_str(), config.layers, config.hidden_size,
              static_cast<long long>(config.parameter_count()),
              std::string(dtype_name(input.dtype)).c_str());
  out += line("machine   %s, %s of memory (%s), reads %.1f GB/s\n",
              input.machine.description.c_str(), format_bytes(input.machine.memory_bytes).c_str(),
              input.machine.memory_source.c_str(), input.read_gbps);
  out += line("weights   %s\n", format_bytes(plan.weight_bytes).c_str());
  out += line("kv cache  %s a token", format_bytes(plan.kv_token_bytes).c_str());
  if (!plan.fits) return out + "\nfits      no: " + plan.problem + "\n";
  out += line(", room for %d: %.1f requests of the full length of %d\n", plan.kv_tokens,
              static_cast<double>(plan.kv_tokens) / plan.max_model_len, plan.max_model_len);
  out +=
      "fits      yes\n\nOne sequence, bound by reading memory. Real decoding stays somewhat below, "
      "but for models "
      "that fit into the caches:\n\n";
  out += line("%-10s %8s %6s %12s %11s %13s  %s\n", "mode", "neurons", "heads", "bytes/token",
              "tokens/s", "full context", "densities");
  for (const PlanSpeed& speed : plan.speeds) {
    out += line("%-10s %7.0f%% %5.0f%% %12s %11.1f %13.1f  %s\n", speed.mode.c_str(),
                100 * speed.mlp_density, 100 * speed.head_density,
                format_bytes(static_cast<std::size_t>(speed.bytes)).c_str(),
                speed.tokens_per_second, speed.at_full_context, speed.basis.c_str());
  }
  return out + "\n" + command(plan) + "\n";
}

nlohmann::ordered_json to_json(const Plan& plan) {
  const PlanInput& input = plan.input;
  nlohmann::ordered_json speeds = nlohmann::ordered_json::array();
  for (const PlanSpeed& speed : plan.speeds) {
    speeds.push_back({{"mode", speed.mode},
                      {"basis", speed.basis},
                      {"mlp_density", speed.mlp_density},
                      {"head_density", speed.head_density},
                      {"bytes_per_token", speed.bytes},
                      {"tokens_per_second", speed.tokens_per_second},
                      {"tokens_per_second_at_full_context", speed.at_full_context}});
  }
  return {{"model", input.model},
          {"fits", plan.fits},
          {"problem", plan.problem},
          {"parameters", input.config.parameter_count()},
          {"dtype", dtype_name(input.dtype)},
          {"device", input.machine.description},
          {"memory_bytes", input.machine.memory_bytes},
          {"read_gbps", input.read_gbps},
          {"weight_bytes", plan.weight_bytes},
          {"kv_bytes_per_token", plan.kv_token_bytes},
          {"kv_tokens", plan.kv_tokens},
          {"max_model_len", plan.max_model_len},
          {"speeds", std::move(speeds)},
          {"flags", plan.flags},
          {"command", plan.fits ? command(plan) : ""}};
}

}  // namespace dejavu
