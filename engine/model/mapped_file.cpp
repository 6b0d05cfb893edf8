#include "engine/model/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

namespace dejavu {
namespace {

tl::unexpected<Error> unreadable(const std::filesystem::path& path, int error) {
  return invalid(path.string() + ": cannot be read: " + std::strerror(error));
}

// Closes on scope exit: the mapping keeps the file alive by itself.
class Descriptor {
 public:
  explicit Descriptor(const std::filesystem::path& path)
      : value_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  int value() const { return value_; }

 private:
  int value_;
};

// Hints work on whole pages: those that lie inside the part, or those it touches.
enum class Pages { kInside, kTouched };

void advise(std::span<const std::byte> part, Pages pages, int advice) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto first = reinterpret_cast<std::uintptr_t>(part.data());
  const auto last = first + part.size();
  const auto up = [page](std::uintptr_t at) { return (at + page - 1) / page * page; };
  const std::uintptr_t begin = pages == Pages::kInside ? up(first) : first / page * page;
  const std::uintptr_t end = pages == Pages::kInside ? last / page * page : up(last);
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, advice);
}

}  // namespace

void expect_read(std::span<const std::byte> part) {
  advise(part, Pages::kTouched, MADV_POPULATE_READ);
}

void release_pages(std::span<const std::byte> part) { advise(part, Pages::kInside, MADV_DONTNEED); }

Result<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  const Descriptor file(path);
  struct stat info {};
  if (file.value() < 0 || ::fstat(file.value(), &info) != 0) return unreadable(path, errno);
  if (!S_ISREG(info.st_mode)) return invalid(path.string() + ": is not a regular file");
  const auto size = static_cast<std::size_t>(info.st_size);
  if (size == 0) return MappedFile({});
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.value(), 0);
  if (data == MAP_FAILED) return unreadable(path, errno);
  return MappedFile({static_cast<const std::byte*>(data), size});
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace dejavu
