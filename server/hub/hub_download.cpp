#include "server/hub/hub_download.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <vector>

#include "server/hub/content_hash.h"
#include "server/hub/http_get.h"
#include "server/hub/hub_cache.h"

namespace dejavu {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kParallel = 4;
constexpr int kAttempts = 5;
constexpr auto kFirstWait = std::chrono::milliseconds(250);
constexpr std::size_t kListingLimit = 64 << 20;

struct HubFile {
  std::string name, hash;
  std::uint64_t size = 0;
};

struct Listing {
  std::string commit;
  std::vector<HubFile> files;
};

// What a server reads; a repository also holds the same weights in other formats.
bool is_wanted(const std::string& name) {
  constexpr std::array kEndings = {".json", ".safetensors", ".jinja"};
  const bool safe = !name.empty() && name.front() != '/' && name.find("..") == std::string::npos;
  const bool nested = name.find('/') != std::string::npos && !name.starts_with("sparsity/");
  return safe && !nested &&
         std::ranges::any_of(kEndings, [&](const char* end) { return name.ends_with(end); });
}

bool is_hash(const std::string& text) {
  return (text.size() == 40 || text.size() == 64) &&
         text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

Result<Listing> parse_listing(const std::string& text) {
  const json body = json::parse(text, nullptr, false);
  Listing listing;
  try {
    listing.commit = body.at("sha").get<std::string>();
    for (const json& item : body.at("siblings")) {
      HubFile file;
      file.name = item.at("rfilename").get<std::string>();
      if (!is_wanted(file.name)) continue;
      const bool large = item.contains("lfs") && item["lfs"].is_object();
      file.hash = (large ? item["lfs"].at("sha256") : item.at("blobId")).get<std::string>();
      file.size = (large ? item["lfs"] : item).at("size").get<std::uint64_t>();
      if (!is_hash(file.hash)) throw std::invalid_argument("a hash of " + file.name);
      listing.files.push_back(std::move(file));
    }
  } catch (const std::exception& error) {
    return fail(ErrorCode::kUnavailable,
                std::string("the hub's list of files is not understood: ") + error.what());
  }
  if (!is_hash(listing.commit) || listing.files.empty())
    return fail(ErrorCode::kUnavailable, "the hub's list of files is empty");
  return listing;
}

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

bool has_weights(const Listing& listing) {
  return std::ranges::any_of(
      listing.files, [](const HubFile& file) { return file.name.ends_with(".safetensors"); });
}

class Download {
 public:
  Download(const HubId& id, const HubSettings& settings, const DownloadProgress& progress)
      : id_(id), settings_(settings), progress_(progress), cache_(settings.cache, id) {}

  Result<fs::path> run() {
    auto listing = retried<Listing>([this] { return list(); }, [] { return 0; });
    if (!listing) return tl::unexpected(listing.error());
    listing_ = *std::move(listing);
    if (!has_weights(listing_))
      return fail(ErrorCode::kNotFound, "the hub's " + id_.repository() + "@" + id_.revision +
                                            " has no *.safetensors; name a revision that has");
    if (Status made = cache_.make_folders(); !made) return tl::unexpected(made.error());
    const FolderLock lock(cache_.folder());
    for (const HubFile& file : listing_.files) total_ += file.size;
    have_.resize(listing_.files.size());
    fetch_all();
    if (failure_) return tl::unexpected(*failure_);
    if (Status set = cache_.set_revision(listing_.commit); !set) return tl::unexpected(set.error());
    return cache_.snapshot(listing_.commit);
  }

 private:
  // Again after what may pass, waiting longer each time. Only tries without `progress` count, so
  // that a long download outlives many a broken connection.
  template <class T>
  Result<T> retried(const std::function<Result<T>()>& work,
                    const std::function<std::uint64_t()>& progress) const {
    auto wait = kFirstWait;
    for (int failures = 0;;) {
      const std::uint64_t before = progress();
      auto result = work();
      if (result || result.error().code != ErrorCode::kUnavailable) return result;
      if (progress() > before) {
        failures = 0;
        wait = kFirstWait;
      }
      if (++failures == kAttempts) return result;
      std::this_thread::sleep_for(wait);
      wait *= 2;
    }
  }

  tl::unexpected<Error> refused(int status) const {
    const std::string what = id_.repository() + "@" + id_.revision;
    if (status == 401 || status == 403)
      return fail(ErrorCode::kUnauthenticated,
                  "the hub does not give " + what + ": set HF_TOKEN to a token that may read it");
    if (status == 404)
      return fail(ErrorCode::kNotFound,
                  "there is no model directory and no model on the hub named " + what + " (at " +
                      settings_.endpoint + ")");
    return fail(ErrorCode::kUnavailable,
                "the hub answers with status " + std::to_string(status) + " for " + what);
  }

  Result<Listing> list() const {
    std::string body;
    const auto status = http_get({settings_.endpoint + "/api/models/" + id_.repository() +
                                      "/revision/" + id_.revision + "?blobs=true",
                                  settings_.token},
                                 [&](std::string_view piece, bool) {
                                   body += piece;
                                   return body.size() < kListingLimit;
                                 });
    if (!status) return tl::unexpected(status.error());
    if (*status != 200) return refused(*status);
    return parse_listing(body);
  }

  void fetch_all() {
    std::vector<std::thread> threads;
    for (int i = 0; i < kParallel; ++i) {
      threads.emplace_back([this] {
        for (std::size_t at = next_++; at < listing_.files.size(); at = next_++) {
          if (Status done = fetch(at); !done) return give_up(done.error());
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

  void give_up(const Error& error) {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = error;
    next_ = listing_.files.size();
  }

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
                  file.name + " of " + id_.repository() +
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
    const std::string url = settings_.endpoint + "/" + id_.repository() + "/resolve/" +
                            listing_.commit + "/" + file.name;
    const auto status =
        http_get({url, settings_.token, there}, [&](std::string_view piece, bool resumed) {
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
    if (*status / 100 != 2) return refused(*status);
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

  HubId id_;
  HubSettings settings_;
  DownloadProgress progress_;
  HubCache cache_;
  Listing listing_;
  std::uint64_t total_ = 0;
  std::atomic<std::size_t> next_{0};
  std::mutex mutex_;  // guards what follows
  std::uint64_t done_ = 0;
  std::vector<std::uint64_t> have_;  // bytes of each file
  std::optional<Error> failure_;
};

}  // namespace

Result<fs::path> download_model(const HubId& id, const HubSettings& settings,
                                const DownloadProgress& progress) {
  return Download(id, settings, progress).run();
}

}  // namespace dejavu
