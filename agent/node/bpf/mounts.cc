#include "agent/node/bpf/mounts.h"

#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "ztunnel/base/status.h"

namespace mesh::node {
namespace {

constexpr std::string_view kBpffs = "/sys/fs/bpf";

uint32_t Depth(const std::string& path) {
  const std::filesystem::path normal = std::filesystem::path(path).lexically_normal();
  return static_cast<uint32_t>(std::count_if(normal.begin(), normal.end(), [](const auto& part) {
    return !part.empty() && part != "/" && part != ".";
  }));
}

}  // namespace

absl::StatusOr<CgroupId> IdOfCgroup(const std::string& path) {
  struct stat st;
  if (::stat(path.c_str(), &st) != 0) return Errno(errno, "cgroup {}", path);
  struct statfs fs;
  if (::statfs(path.c_str(), &fs) != 0 || fs.f_type != CGROUP2_SUPER_MAGIC) {
    return Invalid("cgroup {}: not a directory of a cgroup v2 hierarchy", path);
  }
  ASSIGN_OR_RETURN(const CgroupMount mount, FindCgroup2());
  std::error_code error;
  const auto real = std::filesystem::canonical(path, error);
  if (error) return Errno(error.value(), "cgroup {}", path);
  const std::string below = std::filesystem::relative(real, mount.path, error).string();
  if (error || below.starts_with("..")) {
    return Invalid("cgroup {}: not below the hierarchy at {}", path, mount.path);
  }
  return CgroupId{.id = st.st_ino, .level = Depth(below) + Depth(mount.root)};
}

bool IsBpffs(const std::string& path) {
  struct statfs fs;
  return ::statfs(path.c_str(), &fs) == 0 && static_cast<uint64_t>(fs.f_type) == BPF_FS_MAGIC;
}

absl::Status EnsureBpffs(const std::string& path) {
  const std::string target = path.starts_with(kBpffs) ? std::string(kBpffs) : path;
  std::error_code error;
  if (!IsBpffs(target)) {
    std::filesystem::create_directories(target, error);
    if (error) return Errno(error.value(), "make {} for a bpffs", target);
    if (::mount("bpf", target.c_str(), "bpf", 0, "mode=0700") != 0) {
      return Errno(errno, "mount a bpffs on {}", target);
    }
  }
  std::filesystem::create_directories(path, error);
  if (error) return Errno(error.value(), "make {}", path);
  return absl::OkStatus();
}

}  // namespace mesh::node
