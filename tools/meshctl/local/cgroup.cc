#include "tools/meshctl/local/cgroup.h"

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <sstream>

#include "tools/meshctl/local/files.h"
#include "ztunnel/base/cgroup2.h"
#include "ztunnel/base/files.h"
#include "ztunnel/base/status.h"

namespace mesh::local {
namespace {

std::vector<std::string> Children(const std::string& path) {
  std::vector<std::string> found;
  for (const std::string& name : ListDir(path)) {
    struct stat info = {};
    const std::string full = path + "/" + name;
    if (::stat(full.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) found.push_back(full);
  }
  return found;
}

absl::Status RemoveEmpty(const std::string& path) {
  for (const std::string& child : Children(path)) RETURN_IF_ERROR(RemoveEmpty(child));
  // A killed process leaves its group only when it is reaped by whoever is its parent.
  for (int i = 0; i < 200; ++i) {
    if (::rmdir(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
    if (errno != EBUSY) break;
    KillCgroup(path);
    ::usleep(10'000);
  }
  return Errno(errno, "remove cgroup {}", path);
}

}  // namespace

absl::StatusOr<MeshCgroup> MeshCgroup::Find(std::string_view mesh) {
  ASSIGN_OR_RETURN(const CgroupMount mount, FindCgroup2());
  return MeshCgroup{mount.path + "/mesh-" + std::string(mesh)};
}

std::vector<int> CgroupPids(const std::string& path) {
  std::vector<int> pids;
  std::istringstream stream(ReadFileOr(path + "/cgroup.procs"));
  for (int pid; stream >> pid;) pids.push_back(pid);
  for (const std::string& child : Children(path)) {
    const auto below = CgroupPids(child);
    pids.insert(pids.end(), below.begin(), below.end());
  }
  return pids;
}

void KillCgroup(const std::string& path) {
  if (!Exists(path)) return;
  if (WriteControl(path + "/cgroup.kill", "1").ok()) return;
  for (int round = 0; round < 20; ++round) {  // a process may fork while we read
    const auto pids = CgroupPids(path);
    if (pids.empty()) return;
    for (const int pid : pids) ::kill(pid, SIGKILL);
    ::usleep(5'000);
  }
}

absl::Status RemoveCgroup(const std::string& path) {
  if (!Exists(path)) return absl::OkStatus();
  KillCgroup(path);
  return RemoveEmpty(path);
}

}  // namespace mesh::local
