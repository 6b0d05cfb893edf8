// Evaluated rows as a table, JSON and charts.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>

#include "sparsity/evaluation/evaluate.h"

namespace dejavu {

// The dense row is the first.
std::string to_table(std::span<const EvaluationRow> rows);
// An array: mode, target_recall, perplexity, agreement, kl, in_context_score, mlp_density,
// head_density, recall, tokens_per_second, layers. null where a row has no such figure.
nlohmann::ordered_json to_json(std::span<const EvaluationRow> rows);
// quality.svg: rise of perplexity against density; density.svg: density by layer.
Status write_charts(std::span<const EvaluationRow> rows, const std::filesystem::path& directory);

}  // namespace dejavu
