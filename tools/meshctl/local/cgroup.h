// Control groups (v2) of a local mesh: where processes of a node, pod or daemon are kept together,
// so that programs attach to them and none of them can be left behind.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <vector>

namespace mesh::local {

struct MeshCgroup {
  std::string base;  // CGROUP2/mesh-NAME

  static absl::StatusOr<MeshCgroup> Find(std::string_view mesh);
  std::string node(std::string_view n) const { return base + "/" + std::string(n); }
  std::string ztunnel(std::string_view n) const { return node(n) + "/system/ztunnel"; }
  std::string agent(std::string_view n) const { return node(n) + "/system/agent"; }
  std::string kubelet(std::string_view n) const { return node(n) + "/kubelet"; }
  std::string pod(std::string_view n, std::string_view uid) const {
    return node(n) + "/pods/" + std::string(uid);
  }
  std::string controller() const { return base + "/controller"; }
  std::string name_server() const { return base + "/kube-dns"; }
  std::string runtime() const { return base + "/runtime"; }
};

// Processes in the group and below it.
std::vector<int> CgroupPids(const std::string& path);
// SIGKILL to all of them, at once where the kernel can (5.14). Fine when there is no such group.
void KillCgroup(const std::string& path);
// Kills and removes the group and all below it; fine when there is none.
absl::Status RemoveCgroup(const std::string& path);

}  // namespace mesh::local
