// What a server does with an artifact when nothing else is asked for.
#pragma once

#include <vector>

#include "engine/model/model_config.h"
#include "sparsity/artifact.h"

namespace dejavu {

struct RecommendationArgs {
  const ModelConfig& config;
  double quality_budget = 0;  // perplexity rise that the default level may cost
};

// The share of the dense model's weight bytes that a token computed alone reads at this level,
// predictors included.
double bytes_read(const ModelConfig& config, const Artifact& artifact, SparsityMode mode,
                  const LevelFigures& level);

// Of every level, lookahead's first.
std::vector<double> perplexity_rises(const Artifact& artifact);
void set_perplexity_rises(const std::vector<double>& rises, Artifact& artifact);
// From those over two texts of one length, those over both together.
std::vector<double> over_both_texts(const std::vector<double>& one,
                                    const std::vector<double>& other);

// Sets each mode's default level, the one of those within the budget that reads least or, without
// any, the mildest; and what `auto` does: the mode that is within the budget and reads least, where
// it spares enough to be worth it, else what leaves nothing out.
void choose_default(const RecommendationArgs& args, Artifact& artifact);
// Why, in one sentence with the levels' figures.
void explain_default(const RecommendationArgs& args, Artifact& artifact);

}  // namespace dejavu
