#include "server/hub/hub_download.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <fstream>
#include <mutex>
#include <vector>

#include "server/hub/content_hash.h"
#include "server/hub/http_get.h"
#include "server/hub/hub_api.h"
#include "server/hub/hub_cache.h"
#include "server/hub/retry.h"

namespace dejavu {
namespace {

namespace fs = std::filesystem;

// One process at a time writes a model's files.
class FolderLock {
 public:
  explicit FolderLock(const fs::path& folder)
      : file_(open((folder / ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
    flock(file_, LOCK_EX);
  }
  ~FolderLock() { close(file_); }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int file_;
};

class Download {
 public:
  Download(const HubId& id, const HubSettings& settings, const DownloadProgress& progress)
      : api_(id, settings), progress_(progress), cache_(settings.cache, id) {}

  Result<fs::path> run() {
    auto listing = api_.list();
    if (!listing) return tl::unexpected(listing.error());
    listing_ = *std::move(listing);
    if (listing_.find("tokenizer.json") == nullptr)
      return fail(ErrorCode::kNotFound,
                  "the hub's " + api_.id().repository() + "@" + api_.id().revision +
                      " has no tokenizer.json; transformers makes one: "
                      "AutoTokenizer.from_pretrained(...).save_pretrained(...)");
    if (Status stated = api_.complete(listing_); !stated) return tl::unexpected(stated.error());
    if (Status made = cache_.make_folders(); !made) return tl::unexpected(made.error());
    const FolderLock lock(cache_.folder());
    for (const HubFile& file : listing_.files) total_ += file.size;
    have_.resize(listing_.files.size());
    const Status fetched =
        in_parallel(listing_.files.size(), [this](std::size_t at) { return fetch(at); });
    if (!fetched) return tl::unexpected(fetched.error());
    if (Status set = cache_.set_revision(listing_.commit); !set) return tl::unexpected(set.error());
    return cache_.snapshot(listing_.commit);
  }

 private:
  Status fetch(std::size_t at) {
    const HubFile& file = listing_.files[at];
    std::error_code error;
    if (fs::file_size(cache_.blob(file.hash), error) == file.size && !error) {
      set_have(at, file.size);
    } else {
      const auto done = retried<bool>([&] { return attempt(at); }, [&] { return have(at); });
      if (!done) return tl::unexpected(done.error());
    }
    return cache_.link(listing_.commit, file.name, file.hash);
  }

  // One transfer, from where the last one broke off. A wrong content is thrown away.
  Result<bool> attempt(std::size_t at) {
    const HubFile& file = listing_.files[at];
    const fs::path part = cache_.blob(file.hash + ".incomplete");
    std::error_code error;
    if (fs::exists(part, error) && fs::file_size(part, error) > file.size) fs::remove(part, error);
    if (auto got = transfer(at, part); !got) return got;
    if (!matches(file, part)) {
      fs::remove(part, error);
      set_have(at, 0);
      return fail(ErrorCode::kUnavailable,
                  file.name + " of " + api_.id().repository() +
                      " comes with another content than the hub states; it was thrown away");
    }
    fs::rename(part, cache_.blob(file.hash), error);
    if (!error) return true;
    return fail(ErrorCode::kInternal, "cannot rename " + part.string() + ": " + error.message());
  }

  Result<bool> transfer(std::size_t at, const fs::path& part) {
    const HubFile& file = listing_.files[at];
    std::ofstream out(part, std::ios::binary | std::ios::app);
    const std::uint64_t there = out ? fs::file_size(part) : 0;
    if (there == file.size) return true;
    std::uint64_t size = there;
    const std::string url = api_.address(listing_.commit, file.name);
    const auto status =
        http_get({url, api_.settings().token, there}, [&](std::string_view piece, bool resumed) {
          if (size == there && there > 0 && !resumed) {  // it sends all of it
            out = std::ofstream(part, std::ios::binary | std::ios::trunc);
            size = 0;
          }
          out.write(piece.data(), static_cast<std::streamsize>(piece.size()));
          size += piece.size();
          set_have(at, size);
          return out.good() && size <= file.size;
        });
    if (!out.flush())
      return fail(ErrorCode::kInternal, "cannot write " + part.string() + ": is the disk full?");
    if (!status) return tl::unexpected(status.error());
    if (*status / 100 != 2) return api_.refused(*status);
    if (size < file.size) return fail(ErrorCode::kUnavailable, file.name + " broke off");
    return true;
  }

  static bool matches(const HubFile& file, const fs::path& part) {
    ContentHash hash(file.hash, file.size);
    std::ifstream in(part, std::ios::binary);
    std::vector<char> piece(1 << 20);
    while (in) {
      in.read(piece.data(), static_cast<std::streamsize>(piece.size()));
      hash.add({piece.data(), static_cast<std::size_t>(in.gcount())});
    }
    return hash.matches();
  }

  std::uint64_t have(std::size_t at) {
    const std::lock_guard lock(mutex_);
    return have_[at];
  }

  void set_have(std::size_t at, std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    done_ += bytes - have_[at];
    have_[at] = bytes;
    if (progress_) progress_(done_, total_);
  }

  HubApi api_;
  DownloadProgress progress_;
  HubCache cache_;
  HubListing listing_;
  std::uint64_t total_ = 0;
  std::mutex mutex_;  // guards what follows
  std::uint64_t done_ = 0;
  std::vector<std::uint64_t> have_;  // bytes of each file
};

}  // namespace

Result<fs::path> download_model(const HubId& id, const HubSettings& settings,
                                const DownloadProgress& progress) {
  return Download(id, settings, progress).run();
}

}  // namespace dejavu
