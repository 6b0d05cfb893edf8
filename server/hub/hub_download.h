// Brings a model from the hub into its cache: several files at a time, broken transfers resumed,
// every file checked against the size and the hash that the hub states.
#pragma once

#include <filesystem>
#include <functional>

#include "engine/core/result.h"
#include "server/hub/hub_id.h"
#include "server/hub/hub_settings.h"

namespace dejavu {

using DownloadProgress = std::function<void(std::uint64_t done, std::uint64_t total)>;

// The snapshot's folder. NOT_FOUND and UNAUTHENTICATED name the model and what to do.
Result<std::filesystem::path> download_model(const HubId& id, const HubSettings& settings,
                                             const DownloadProgress& progress);

}  // namespace dejavu
