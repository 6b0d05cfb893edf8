#include "server/hub/hub_api.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>

#include "server/hub/http_get.h"
#include "server/hub/retry.h"

namespace dejavu {
namespace {

using nlohmann::json;

constexpr std::size_t kTextLimit = 64 << 20;

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

std::string percent_encoded(const std::string& text, std::string_view kept) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || kept.find(c) != std::string_view::npos) {
      out += c;
    } else {
      out += {'%', kDigits[byte >> 4U], kDigits[byte & 15U]};
    }
  }
  return out;
}

constexpr std::string_view kUnreserved = "-._~";

// A file of the list; without hash and size unless both are stated.
HubFile parse_file(const json& item) {
  HubFile file;
  file.name = item.at("rfilename").get<std::string>();
  const bool large = item.contains("lfs") && item["lfs"].is_object();
  const json& stated = large ? item["lfs"] : item;
  const auto hash = stated.find(large ? "sha256" : "blobId");
  const auto size = stated.find("size");
  if (hash == stated.end() || !hash->is_string() || !is_hash(hash->get<std::string>())) return file;
  if (size == stated.end() || !size->is_number_unsigned()) return file;
  file.hash = hash->get<std::string>();
  file.size = size->get<std::uint64_t>();
  return file;
}

std::string field(const HttpHead& head, const std::string& name) {
  const auto found = head.fields.find(name);
  return found == head.fields.end() ? std::string() : found->second;
}

// "X", or W/"X": X.
std::string tag(std::string text) {
  if (text.starts_with("W/")) text.erase(0, 2);
  std::erase(text, '"');
  return text;
}

std::string stated_hash(const HttpHead& head) {
  const std::string linked = tag(field(head, "x-linked-etag"));
  const std::string hash = linked.empty() ? tag(field(head, "etag")) : linked;
  return is_hash(hash) ? hash : std::string();
}

// Of the file itself: a redirect's own length is another.
std::optional<std::uint64_t> stated_size(const HttpHead& head) {
  std::string text = field(head, "x-linked-size");
  if (text.empty() && head.status == 200) text = field(head, "content-length");
  std::uint64_t size = 0;
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, size);
  if (text.empty() || error != std::errc() || at != end) return std::nullopt;
  return size;
}

tl::unexpected<Error> not_understood(const std::string& what) {
  return fail(ErrorCode::kInternal,
              "the hub's answer is not understood: " + what + "; is HF_ENDPOINT a model hub?");
}

}  // namespace

const HubFile* HubListing::find(const std::string& name) const {
  const auto found =
      std::ranges::find_if(files, [&](const HubFile& file) { return file.name == name; });
  return found == files.end() ? nullptr : &*found;
}

std::string HubApi::address(const std::string& revision, const std::string& file) const {
  return settings_.endpoint + "/" + id_.repository() + "/resolve/" +
         percent_encoded(revision, kUnreserved) + "/" +
         percent_encoded(file, std::string(kUnreserved) + "/");
}

tl::unexpected<Error> HubApi::refused(int status) const {
  const std::string there = " (at " + settings_.endpoint + ")";
  if (status == 401 || status == 403)
    return fail(ErrorCode::kUnauthenticated,
                "the hub does not give " + named() +
                    ": set HF_TOKEN to a token that may read it, or there is no such model" +
                    there);
  if (status == 404)
    return fail(ErrorCode::kNotFound, "there is no model directory and no model on the hub named " +
                                          named() + there + "; one that is private needs HF_TOKEN");
  const bool may_pass = status >= 500 || status == 408 || status == 429;
  return fail(may_pass ? ErrorCode::kUnavailable : ErrorCode::kInternal,
              "the hub answers with status " + std::to_string(status) + " for " + named() + there);
}

Result<HubListing> HubApi::list() const {
  const std::string url = settings_.endpoint + "/api/models/" + id_.repository() + "/revision/" +
                          percent_encoded(id_.revision, kUnreserved) + "?blobs=true";
  const auto text = retried<std::string>([&]() -> Result<std::string> {
    std::string body;
    const auto status = http_get({url, settings_.token}, [&](std::string_view piece, bool) {
      body += piece;
      return body.size() < kTextLimit;
    });
    if (!status) return tl::unexpected(status.error());
    if (*status != 200) return refused(*status);
    return body;
  });
  if (!text) return tl::unexpected(text.error());
  auto listing = parse(*text);
  if (!listing || !listing->commit.empty()) return listing;
  auto commit = commit_of(*listing);
  if (!commit) return tl::unexpected(commit.error());
  listing->commit = *std::move(commit);
  return listing;
}

Result<HubListing> HubApi::parse(const std::string& text) const {
  const json body = json::parse(text, nullptr, false);
  HubListing listing;
  try {
    if (body.contains("sha") && body["sha"].is_string()) listing.commit = body["sha"];
    for (const json& item : body.at("siblings")) {
      HubFile file = parse_file(item);
      if (is_wanted(file.name)) listing.files.push_back(std::move(file));
    }
  } catch (const json::exception& error) {
    return not_understood(std::string("its list of files: ") + error.what());
  }
  if (!listing.commit.empty() && !is_hash(listing.commit))
    return not_understood("its list of files states no commit");
  const bool has_weights = std::ranges::any_of(
      listing.files, [](const HubFile& file) { return file.name.ends_with(".safetensors"); });
  if (has_weights) return listing;
  return fail(ErrorCode::kNotFound, "the hub's " + named() +
                                        " has no *.safetensors; name a revision that has, or "
                                        "convert it with transformers' save_pretrained");
}

Result<std::string> HubApi::commit_of(const HubListing& listing) const {
  const std::string url = address(id_.revision, listing.files.front().name);
  const auto named_commit = [](const HttpHead& head) { return field(head, "x-repo-commit"); };
  const auto head = retried<HttpHead>([&] {
    return http_head({url, settings_.token},
                     [&](const HttpHead& answer) { return !named_commit(answer).empty(); });
  });
  if (!head) return tl::unexpected(head.error());
  const std::string commit = named_commit(*head);
  if (!is_hash(commit)) return not_understood("neither its list nor X-Repo-Commit states a commit");
  return commit;
}

Result<HubFile> HubApi::ask(const HubListing& listing, const std::string& name) const {
  const auto states = [](const HttpHead& head) {
    return !stated_hash(head).empty() && stated_size(head).has_value();
  };
  const auto head = http_head({address(listing.commit, name), settings_.token},
                              [&](const HttpHead& answer) { return states(answer); });
  if (!head) return tl::unexpected(head.error());
  if (states(*head)) return HubFile{name, stated_hash(*head), *stated_size(*head)};
  if (head->status != 200) return refused(head->status);
  return not_understood("it states no size or no hash of " + name);
}

Status HubApi::complete(HubListing& listing) const {
  return in_parallel(listing.files.size(), [&](std::size_t at) -> Status {
    HubFile& file = listing.files[at];
    if (!file.hash.empty()) return {};
    auto stated = retried<HubFile>([&] { return ask(listing, file.name); });
    if (!stated) return tl::unexpected(stated.error());
    file = *std::move(stated);
    return {};
  });
}

Result<std::string> HubApi::read(const HubListing& listing, const std::string& file,
                                 std::uint64_t from, std::uint64_t to) const {
  const HttpGet get{address(listing.commit, file), settings_.token, from, to};
  return retried<std::string>([&]() -> Result<std::string> {
    std::string body;
    std::uint64_t skipped = from;
    const std::uint64_t wanted = to > 0 ? to - from : kTextLimit;
    const auto status = http_get(get, [&](std::string_view piece, bool resumed) {
      if (resumed) skipped = 0;
      const std::uint64_t skip = std::min<std::uint64_t>(skipped, piece.size());
      skipped -= skip;
      body += piece.substr(skip);
      return body.size() < wanted;
    });
    if (!status) return tl::unexpected(status.error());
    if (*status / 100 != 2) return refused(*status);
    if (to > 0 && body.size() < wanted)
      return fail(ErrorCode::kUnavailable, file + " of " + named() + " broke off");
    body.resize(std::min<std::uint64_t>(body.size(), wanted));
    return body;
  });
}

}  // namespace dejavu
