// Where everything of a local mesh lives, as functions of its name, and what it was started with.
//
//   /run/mesh/NAME/           ROOT: config.json state.json run.pid run.lock images.yaml
//     manifests/              the user's objects, watched
//     run/ run/patch/ run/pids/   objects and patches of the runtime, agents and controller
//     run/made/               waypoints and their Services, made by the controller
//     record/ pki/ nodes/NODE/ log/
//   CGROUP2/mesh-NAME/        NODE/{pods/UID,system/ztunnel,system/agent,kubelet} controller
//   runtime /run/netns/mesh-NAME-*    fabric, controller, one per node and pod
//   /sys/fs/bpf/mesh/NAME-NODE/
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <vector>

namespace mesh::local {

struct NodeConfig {
  std::string name;
  int index = 0;  // from 1: the N of its addresses
};

struct Layout {
  std::string name;

  static constexpr const char* kRoot = "/run/mesh";
  std::string root() const { return std::string(kRoot) + "/" + name; }
  std::string manifests() const { return root() + "/manifests"; }
  std::string run() const { return root() + "/run"; }
  std::string patch() const { return root() + "/run/patch"; }
  std::string made() const { return root() + "/run/made"; }
  std::string pids() const { return root() + "/run/pids"; }
  std::string record() const { return root() + "/record"; }  // the controller's own
  std::string pki() const { return root() + "/pki"; }
  std::string root_cert() const { return pki() + "/root-cert.pem"; }
  std::string log() const { return root() + "/log"; }
  std::string node_dir(std::string_view node) const {
    return root() + "/nodes/" + std::string(node);
  }
  std::string agent_socket(std::string_view node) const { return node_dir(node) + "/agent.sock"; }
  std::string state_file() const { return root() + "/state.json"; }
  std::string pod_file(std::string_view ns, std::string_view pod) const {
    return run() + "/pods/" + std::string(ns) + "_" + std::string(pod) + ".json";
  }

  std::string netns_prefix() const { return "mesh-" + name + "-"; }
  std::string netns_name(std::string_view what) const;  // a node, "fabric", "controller"
  static std::string netns_path(std::string_view netns) {
    return "/run/netns/" + std::string(netns);
  }
  // Names longer than 60 characters are cut and end in a hash.
  std::string pod_netns(std::string_view node, std::string_view ns, std::string_view pod) const;

  std::string bpf_dir(std::string_view node) const {
    return "/sys/fs/bpf/mesh/" + name + "-" + std::string(node);
  }
};

// Letters, digits, '-' (not first) and '_', at most 40 characters.
absl::Status CheckMeshName(std::string_view name);

struct Config {
  std::vector<NodeConfig> nodes;
  std::vector<std::string> manifest_dirs;  // the user's own folders, read before ROOT/manifests
  std::string bin_dir;
  bool ipv6 = true;
  bool mesh = true;  // false: nodes and pods only, no agent, ztunnel or controller

  // Directories in the order in which objects overlay each other.
  std::vector<std::string> SourceDirs(const Layout& layout) const;
  absl::Status Save(const Layout& layout) const;
  static absl::StatusOr<Config> Load(const Layout& layout);  // NotFound: no such mesh
};

// Addresses of the fabric and of nodes (10.89.0.N, fd00:10:89::N), the controller being 254.
std::string NodeIp(int index, int family);
std::string ControllerAddress();  // "10.89.0.254:15012"
std::string PodCidr(int index, int family);
std::string PodIp(int node_index, int pod_index, int family);

std::string ShortHash(std::string_view text, size_t length);  // lower-case letters and digits

}  // namespace mesh::local
