#include "engine/backend/cpu/host_resources.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>

namespace dejavu {
namespace {

namespace fs = std::filesystem;

// Above this a v1 limit means "none" (the kernel writes PAGE_COUNTER_MAX).
constexpr double kUnlimited = 1e18;

std::string first_line(const fs::path& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

std::optional<double> number(const fs::path& file) {
  std::istringstream in(first_line(file));
  double value = 0;
  if (!(in >> value)) return std::nullopt;
  return value;
}

// Our cgroup directories from the leaf up to the mount point: a limit on any of them holds.
// `controller` is a v1 controller's name, or empty for the v2 hierarchy.
std::vector<fs::path> cgroup_chain(const fs::path& root, const std::string& controller) {
  std::ifstream in(root / "proc/self/cgroup");
  fs::path mount = root / "sys/fs/cgroup";
  if (!controller.empty()) mount /= controller;
  std::string line;
  while (std::getline(in, line)) {  // id:controllers:path
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string names = "," + line.substr(first + 1, second - first - 1) + ",";
    if (names.find("," + controller + ",") == std::string::npos) continue;
    std::vector<fs::path> chain;
    fs::path path = fs::path(line.substr(second + 1)).relative_path().lexically_normal();
    for (; !path.empty() && path != "."; path = path.parent_path()) chain.push_back(mount / path);
    chain.push_back(mount);  // in a container the mount itself is our group
    return chain;
  }
  return {};
}

std::optional<double> quota_v2(const fs::path& directory) {
  std::istringstream in(first_line(directory / "cpu.max"));
  double quota = 0;
  double period = 0;
  if (!(in >> quota >> period) || period <= 0) return std::nullopt;  // "max 100000"
  return quota / period;
}

std::optional<double> quota_v1(const fs::path& directory) {
  const std::optional<double> quota = number(directory / "cpu.cfs_quota_us");
  const std::optional<double> period = number(directory / "cpu.cfs_period_us");
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  return *quota / *period;
}

void limit_threads(HostResources& host, std::optional<double> quota, const char* source) {
  if (!quota) return;
  // Below one whole CPU there is still one thread; above, a thread too many would be throttled.
  const int threads = std::max(1, static_cast<int>(std::floor(*quota + 0.01)));
  if (threads >= host.threads) return;
  host.threads = threads;
  host.threads_source = source;
}

void limit_memory(HostResources& host, std::optional<double> bytes, const char* source) {
  if (!bytes || *bytes >= kUnlimited) return;
  const auto limit = static_cast<std::size_t>(std::max(0.0, *bytes));
  if (limit >= host.memory_bytes) return;
  host.memory_bytes = limit;
  host.memory_source = source;
}

std::optional<double> memory_available(const fs::path& root) {
  std::ifstream in(root / "proc/meminfo");
  std::string line;
  while (std::getline(in, line)) {
    std::istringstream fields(line);
    std::string name;
    double kib = 0;
    if (fields >> name >> kib && name == "MemAvailable:") return kib * 1024;
  }
  return std::nullopt;
}

int online_cpus(const fs::path& root) {
  // "0-3,8": counts the CPUs of each range.
  std::istringstream in(first_line(root / "sys/devices/system/cpu/online"));
  int count = 0;
  std::string range;
  while (std::getline(in, range, ',')) {
    int first = 0;
    int last = 0;
    char dash = 0;
    std::istringstream fields(range);
    if (!(fields >> first)) continue;
    last = first;
    if (fields >> dash) fields >> last;
    count += last - first + 1;
  }
  return count;
}

}  // namespace

HostResources read_host_resources(const fs::path& root, const std::vector<int>& affinity) {
  HostResources host;
  host.cpus = affinity;
  host.threads = std::max(1, static_cast<int>(affinity.size()));
  host.threads_source = "sched_getaffinity";
  host.exclusive_cpus = static_cast<int>(affinity.size()) < online_cpus(root);
  for (const fs::path& directory : cgroup_chain(root, "")) {
    limit_threads(host, quota_v2(directory), "cgroup cpu.max");
  }
  for (const fs::path& directory : cgroup_chain(root, "cpu")) {
    limit_threads(host, quota_v1(directory), "cgroup cpu.cfs_quota_us");
  }

  host.memory_bytes = std::numeric_limits<std::size_t>::max();
  limit_memory(host, memory_available(root), "MemAvailable");
  for (const fs::path& directory : cgroup_chain(root, "")) {
    limit_memory(host, number(directory / "memory.max"), "cgroup memory.max");
  }
  for (const fs::path& directory : cgroup_chain(root, "memory")) {
    limit_memory(host, number(directory / "memory.limit_in_bytes"), "cgroup memory.limit_in_bytes");
  }
  return host;
}

std::vector<int> current_affinity() {
  // The mask grows until the kernel's fits.
  for (std::size_t cpus = CPU_SETSIZE; cpus <= CPU_SETSIZE * 64; cpus *= 2) {
    std::vector<cpu_set_t> mask(cpus / CPU_SETSIZE);
    const std::size_t bytes = mask.size() * sizeof(cpu_set_t);
    if (sched_getaffinity(0, bytes, mask.data()) != 0) continue;
    std::vector<int> allowed;
    for (std::size_t cpu = 0; cpu < cpus; ++cpu) {
      if (CPU_ISSET_S(cpu, bytes, mask.data())) allowed.push_back(static_cast<int>(cpu));
    }
    return allowed;
  }
  return {0};
}

}  // namespace dejavu
