// Service limits and defaults, filled in by config/.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace dejavu {

struct ServiceOptions {
  std::vector<std::string>
      served_model_names;                  // first is the one shown; default: model's folder name
  std::string chat_template_file;          // overrides the model's own
  std::string override_generation_config;  // JSON object; above generation_config.json
  int max_n = 128;                         // n × prompts of one request
  bool log_prompts = false;
  int service_threads = 2;  // tokenise, template, detokenise
};

// The life of the daemon.
struct AppOptions {
  double drain_grace_seconds = 0;     // after SIGTERM, not ready but serving, for this long
  double drain_timeout_seconds = 30;  // then, what still runs is given this long
};

}  // namespace dejavu
