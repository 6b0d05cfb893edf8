// Limits are read from fake /proc and /sys trees.
#include "engine/backend/cpu/host_resources.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>

using namespace dejavu;
namespace fs = std::filesystem;

namespace {

class FakeRoot {
 public:
  FakeRoot() : path_(fs::temp_directory_path() / ("dejavu-host-" + std::to_string(::getpid()))) {
    fs::remove_all(path_);
    write("proc/meminfo", "MemTotal: 64000000 kB\nMemFree: 1 kB\nMemAvailable: 32000000 kB\n");
    write("sys/devices/system/cpu/online", "0-7\n");
  }
  FakeRoot(const FakeRoot&) = delete;
  FakeRoot& operator=(const FakeRoot&) = delete;
  ~FakeRoot() { fs::remove_all(path_); }

  FakeRoot& write(const fs::path& file, const std::string& text) {
    fs::create_directories((path_ / file).parent_path());
    std::ofstream(path_ / file) << text;
    return *this;
  }
  HostResources read(const std::vector<int>& affinity = {0, 1, 2, 3, 4, 5, 6, 7}) const {
    return read_host_resources(path_, affinity);
  }

 private:
  fs::path path_;
};

constexpr std::size_t kMiB = std::size_t{1} << 20;

}  // namespace

TEST_CASE("without cgroup limits the affinity mask and MemAvailable hold") {
  FakeRoot root;
  root.write("proc/self/cgroup", "0::/\n").write("sys/fs/cgroup/cpu.max", "max 100000\n");
  root.write("sys/fs/cgroup/memory.max", "max\n");
  const HostResources host = root.read();
  CHECK(host.threads == 8);
  CHECK(host.threads_source == "sched_getaffinity");
  CHECK_FALSE(host.exclusive_cpus);
  CHECK(host.memory_bytes == std::size_t{32000000} * 1024);
  CHECK(host.memory_source == "MemAvailable");
}

TEST_CASE("a machine without any cgroup file is read too") {
  const FakeRoot root;
  CHECK(root.read().threads == 8);
  CHECK(root.read().memory_source == "MemAvailable");
}

TEST_CASE("a mask smaller than the machine is ours alone") {
  FakeRoot root;
  root.write("proc/self/cgroup", "0::/\n");
  const HostResources host = root.read({2, 3});
  CHECK(host.threads == 2);
  CHECK(host.cpus == std::vector<int>{2, 3});
  CHECK(host.exclusive_cpus);
}

TEST_CASE("cgroup v2: the tightest limit on the way up holds") {
  FakeRoot root;
  root.write("proc/self/cgroup", "0::/pods/one\n");
  root.write("sys/fs/cgroup/pods/one/cpu.max", "max 100000\n");
  root.write("sys/fs/cgroup/pods/cpu.max", "250000 100000\n");
  root.write("sys/fs/cgroup/pods/one/memory.max", "8589934592\n");
  root.write("sys/fs/cgroup/pods/memory.max", "1048576000\n");
  const HostResources host = root.read();
  CHECK(host.threads == 2);
  CHECK(host.threads_source == "cgroup cpu.max");
  CHECK(host.memory_bytes == 1000 * kMiB);
  CHECK(host.memory_source == "cgroup memory.max");
}

TEST_CASE("cgroup v2 in a container: the mount is our own group") {
  FakeRoot root;
  root.write("proc/self/cgroup", "0::/\n");
  root.write("sys/fs/cgroup/cpu.max", "50000 100000\n");
  root.write("sys/fs/cgroup/memory.max", "524288000\n");
  const HostResources host = root.read();
  CHECK(host.threads == 1);
  CHECK(host.memory_bytes == 500 * kMiB);
}

TEST_CASE("cgroup v1 controllers") {
  FakeRoot root;
  root.write("proc/self/cgroup", "9:name=systemd:/\n4:memory:/job/7\n2:cpu,cpuacct:/job\n0::/\n");
  root.write("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "300000\n");
  root.write("sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n");
  root.write("sys/fs/cgroup/memory/job/7/memory.limit_in_bytes", "9223372036854771712\n");
  root.write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "2097152000\n");
  const HostResources host = root.read();
  CHECK(host.threads == 3);
  CHECK(host.threads_source == "cgroup cpu.cfs_quota_us");
  CHECK(host.memory_bytes == 2000 * kMiB);
  CHECK(host.memory_source == "cgroup memory.limit_in_bytes");
}

TEST_CASE("a quota above the mask changes nothing, and no quota means none") {
  FakeRoot root;
  root.write("proc/self/cgroup", "2:cpu:/\n0::/\n");
  root.write("sys/fs/cgroup/cpu.max", "1600000 100000\n");
  root.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  root.write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  CHECK(root.read({0, 1}).threads == 2);
  CHECK(root.read({0, 1}).threads_source == "sched_getaffinity");
}

TEST_CASE("this process may run somewhere") {
  CHECK_FALSE(current_affinity().empty());
  const HostResources host = read_host_resources("/", current_affinity());
  CHECK(host.threads >= 1);
  CHECK(host.memory_bytes > 0);
}
