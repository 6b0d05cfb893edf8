// What planning needs of a model on the hub: its configuration and the headers of its weights, a
// few megabytes whatever the weights are.
#pragma once

#include <filesystem>

#include "engine/core/result.h"
#include "server/hub/hub_id.h"
#include "server/hub/hub_settings.h"

namespace dejavu {

// Writes config.json, the index where the weights are in shards, and of every safetensors file its
// header, into `folder`.
Status fetch_headers(const HubId& id, const HubSettings& settings,
                     const std::filesystem::path& folder);

}  // namespace dejavu
