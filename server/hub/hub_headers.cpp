#include "server/hub/hub_headers.h"

#include <fstream>
#include <vector>

#include "server/hub/hub_api.h"
#include "server/hub/retry.h"
#include "server/hub/weight_files.h"

namespace dejavu {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kLongestHeader = 100'000'000;

Status write(const fs::path& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << text;
  if (out.flush()) return {};
  return fail(ErrorCode::kInternal,
              "cannot write " + path.string() + "; TMPDIR names another place");
}

class Headers {
 public:
  Headers(const HubId& id, const HubSettings& settings, fs::path folder)
      : api_(id, settings), folder_(std::move(folder)) {}

  Status run() {
    auto listing = api_.list();
    if (!listing) return tl::unexpected(listing.error());
    listing_ = *std::move(listing);
    if (auto config = keep("config.json"); !config) return tl::unexpected(config.error());
    const auto files = weight_files();
    if (!files) return tl::unexpected(files.error());
    return in_parallel(files->size(), [&](std::size_t at) { return keep_header((*files)[at]); });
  }

 private:
  Result<std::string> keep(const std::string& file) const {
    auto text = api_.read(listing_, file);
    if (!text) return text;
    if (Status written = write(folder_ / file, *text); !written)
      return tl::unexpected(written.error());
    return text;
  }

  Result<std::vector<std::string>> weight_files() const {
    if (listing_.find(kSingleWeightFile) != nullptr)
      return std::vector<std::string>{kSingleWeightFile};
    const auto index = keep(kWeightIndexFile);
    if (!index) return tl::unexpected(index.error());
    std::vector<std::string> shards = shards_of(*index);
    if (!shards.empty()) return shards;
    return fail(ErrorCode::kInternal,
                std::string("the hub's ") + kWeightIndexFile + " names no files of this model");
  }

  Status keep_header(const std::string& file) const {
    const auto length = api_.read(listing_, file, 0, kLengthBytes);
    if (!length) return tl::unexpected(length.error());
    std::uint64_t size = 0;
    for (std::size_t i = kLengthBytes; i-- > 0;)
      size = size << 8U | static_cast<unsigned char>((*length)[i]);
    if (size == 0 || size > kLongestHeader)
      return fail(ErrorCode::kInternal, "the hub's " + file + " is no safetensors file");
    const auto header = api_.read(listing_, file, kLengthBytes, kLengthBytes + size);
    if (!header) return tl::unexpected(header.error());
    return write(folder_ / file, *length + *header);
  }

  HubApi api_;
  fs::path folder_;
  HubListing listing_;
};

}  // namespace

Status fetch_headers(const HubId& id, const HubSettings& settings, const fs::path& folder) {
  return Headers(id, settings, folder).run();
}

}  // namespace dejavu
