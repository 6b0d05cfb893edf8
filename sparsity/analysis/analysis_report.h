// Findings as a table, JSON and charts.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "sparsity/analysis/findings.h"

namespace dejavu {

std::string to_table(const Findings& findings);
nlohmann::ordered_json to_json(const Findings& findings);
// oracle.svg, foresight.svg, unions.svg, layers.svg
Status write_charts(const Findings& findings, const std::filesystem::path& directory);

}  // namespace dejavu
