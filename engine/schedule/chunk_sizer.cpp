#include "engine/schedule/chunk_sizer.h"

#include <algorithm>

#include "engine/kv/page_table.h"

namespace dejavu {
namespace {

// Small enough for a large model on a slow machine; one step later the speed is known.
constexpr int kFirstChunk = 2 * kKvPageTokens;
// Weight of the newest measurement.
constexpr double kSmoothing = 0.4;

}  // namespace

ChunkSizer::ChunkSizer(double target_seconds, int most)
    : target_seconds_(target_seconds), most_(most) {}

int ChunkSizer::step_tokens() const {
  if (tokens_per_second_ == 0) return std::min(kFirstChunk, most_);
  const double tokens = tokens_per_second_ * target_seconds_;
  return static_cast<int>(std::min(tokens, static_cast<double>(most_)));
}

void ChunkSizer::measured(int prompt_tokens, int tokens, double seconds) {
  // A few rows cost nearly as much as one: their speed says nothing about a chunk's.
  if (prompt_tokens < kKvPageTokens || seconds <= 0) return;
  const double now = tokens / seconds;
  tokens_per_second_ =
      tokens_per_second_ == 0 ? now : tokens_per_second_ + kSmoothing * (now - tokens_per_second_);
}

}  // namespace dejavu
