// What the client sub-commands are asked for, filled in by config/.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace dejavu {

// The sampling fields hold for `bench serve` too.
struct GenerateOptions {
  std::string prompt;  // the text, @FILE, or - for standard input
  bool chat = false;   // render the prompt as one user message with the model's chat template
  std::optional<std::int64_t> max_tokens;  // absent: to the end of the context
  std::optional<double> temperature, top_p, min_p;
  std::optional<std::int64_t> top_k;
  std::optional<double> presence_penalty, frequency_penalty, repetition_penalty;
  std::vector<std::string> stop;
  bool ignore_eos = false;
};

struct HealthOptions {
  double timeout_seconds = 5;
};

// Shared by the commands that talk to a running daemon.
struct ClientOptions {
  std::string url = "http://127.0.0.1:8000";
  std::string json_file;  // result as JSON
};

}  // namespace dejavu
