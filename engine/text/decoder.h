// The "decoder" of tokenizer.json as a chain of steps that work while tokens arrive: decoding a
// whole text and streaming it are the same code.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/text/json_part.h"

namespace dejavu {

// A token's text or a part of it: steps join tokens and let go of parts that are final.
struct Fragment {
  std::string text;
  bool begins_token = true;
};

// One step's state within one sequence.
class DecodeStep {
 public:
  virtual ~DecodeStep() = default;
  virtual void append(const Fragment& in, std::vector<Fragment>& out) = 0;
  // The end of the sequence: what is held goes out.
  virtual void finish(std::vector<Fragment>&) {}
};

class DecodeChain {
 public:
  explicit DecodeChain(std::vector<std::unique_ptr<DecodeStep>> steps) : steps_(std::move(steps)) {}

  // What became final with this token.
  std::string append(std::string_view token);
  std::string finish();

 private:
  std::vector<std::unique_ptr<DecodeStep>> steps_;
};

// Immutable: any thread may start chains.
class Decoder {
 public:
  // Without a "decoder" tokens are joined by spaces.
  Decoder();
  // Throws PartError for a kind that is not supported.
  explicit Decoder(const JsonPart& part);

  DecodeChain start() const;
  // The bytes one token stands for in the middle of a text.
  std::string token_bytes(std::string token) const;

 private:
  void read(const JsonPart& part);

  std::vector<std::function<std::unique_ptr<DecodeStep>()>> steps_;
  std::vector<std::function<std::string(std::string)>> token_bytes_;
  bool fused_ = false;  // from here on the chain carries one token
};

}  // namespace dejavu
