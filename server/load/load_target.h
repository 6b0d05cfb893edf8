// A daemon under load, over either wire: one implementation for HTTP, one for gRPC.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/result.h"

namespace dejavu {

struct LoadPrompt {
  std::vector<std::int32_t> ids;  // sent when not empty, else the text
  std::string text;
  int max_tokens = 0;
};

// What one request saw. Times are seconds since it was sent; tokens are counted by the server.
struct LoadRecord {
  std::string error;  // empty: answered to the end
  double ttft = 0;
  double e2e = 0;
  std::vector<double> gaps;  // between messages with text
  int prompt_tokens = 0;
  int completion_tokens = 0;

  // Time per output token after the first.
  double tpot() const { return completion_tokens > 1 ? (e2e - ttft) / (completion_tokens - 1) : 0; }
};

// The same for every request of a run.
struct LoadSettings {
  std::optional<double> temperature;
  bool ignore_eos = false;
  std::string api_key;
};

class LoadTarget {
 public:
  using Done = std::function<void(LoadRecord)>;
  virtual ~LoadTarget() = default;

  // Waits for the answer.
  virtual Result<std::vector<std::int32_t>> tokenize(const std::string& text) = 0;
  // Returns at once; `done` is called on a thread of the target. Never tries again.
  virtual void send(const LoadPrompt& prompt, Done done) = 0;
};

// Notes when messages arrive and makes a record of it. One thread at a time.
class LoadStopwatch {
 public:
  // A message that carries a piece of the answer.
  void token();
  // Ends the request, well or with an error.
  LoadRecord finish(std::string error);

  int prompt_tokens = 0;
  int completion_tokens = 0;

 private:
  double elapsed() const;

  std::int64_t start_ns_ = now_ns();
  LoadRecord record_;
  double last_ = 0;

  static std::int64_t now_ns();
};

}  // namespace dejavu
