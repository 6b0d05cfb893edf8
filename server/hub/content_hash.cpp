#include "server/hub/content_hash.h"

#include <openssl/evp.h>

#include <array>

namespace dejavu {
namespace {

constexpr std::size_t kSha256Digits = 64;

struct Free {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

}  // namespace

struct ContentHash::Context {
  std::unique_ptr<EVP_MD_CTX, Free> md{EVP_MD_CTX_new()};
};

ContentHash::ContentHash(const std::string& expected, std::uint64_t size)
    : expected_(expected), context_(std::make_unique<Context>()) {
  const bool large = expected.size() == kSha256Digits;
  EVP_DigestInit_ex(context_->md.get(), large ? EVP_sha256() : EVP_sha1(), nullptr);
  if (large) return;
  const std::string head = "blob " + std::to_string(size);
  add({head.c_str(), head.size() + 1});  // with its closing zero
}

ContentHash::~ContentHash() = default;

void ContentHash::add(std::string_view bytes) {
  EVP_DigestUpdate(context_->md.get(), bytes.data(), bytes.size());
}

bool ContentHash::matches() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  EVP_DigestFinal_ex(context_->md.get(), digest.data(), &length);
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  for (unsigned i = 0; i < length; ++i) {
    hex += kDigits[digest[i] >> 4U];
    hex += kDigits[digest[i] & 15U];
  }
  return hex == expected_;
}

}  // namespace dejavu
