// What a hub says of a model's files: their names by its list, their sizes and hashes by that or,
// file by file, by the headers of HEAD. https://huggingface.co/docs/hub/api
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/result.h"
#include "server/hub/hub_id.h"
#include "server/hub/hub_settings.h"

namespace dejavu {

struct HubFile {
  std::string name;
  std::string hash;  // ContentHash's; empty until stated
  std::uint64_t size = 0;
};

struct HubListing {
  std::string commit;
  std::vector<HubFile> files;  // those a server reads

  const HubFile* find(const std::string& name) const;
};

class HubApi {
 public:
  HubApi(HubId id, HubSettings settings) : id_(std::move(id)), settings_(std::move(settings)) {}

  // Hashes may be missing. Refused: what holds no safetensors.
  Result<HubListing> list() const;
  // Asks for the sizes and hashes that `listing` lacks.
  Status complete(HubListing& listing) const;
  // Bytes [from, to) of a small file or of a part; `to` 0: all, of at most 64 MiB.
  Result<std::string> read(const HubListing& listing, const std::string& file,
                           std::uint64_t from = 0, std::uint64_t to = 0) const;

  const HubId& id() const { return id_; }
  const HubSettings& settings() const { return settings_; }
  // Where a file of a commit (or branch or tag) is.
  std::string address(const std::string& revision, const std::string& file) const;
  // The error that a status other than 200 stands for.
  tl::unexpected<Error> refused(int status) const;

 private:
  std::string named() const { return id_.repository() + "@" + id_.revision; }
  Result<HubListing> parse(const std::string& text) const;
  Result<std::string> commit_of(const HubListing& listing) const;
  Result<HubFile> ask(const HubListing& listing, const std::string& name) const;

  HubId id_;
  HubSettings settings_;
};

}  // namespace dejavu
