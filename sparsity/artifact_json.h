// sparsity.json: everything of an artifact but its matrices.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "engine/core/result.h"
#include "sparsity/artifact.h"

namespace dejavu {

std::string_view mode_name(SparsityMode mode);

nlohmann::ordered_json artifact_to_json(const Artifact& artifact);
// Layers come back with sizes and empty matrices. Errors begin with `name` and name the field.
Result<Artifact> artifact_from_json(const nlohmann::json& json, const std::string& name);

}  // namespace dejavu
