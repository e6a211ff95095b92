// `mesh-agent node`: one node's agent. Loads, attaches and pins the programs, enrols this node's
// pods, hands them to ztunnel, and tells what it did.
//
// Threads: the main one (source, enrolment), the hand-over's, and the HTTP servers'. Ends on
// SIGTERM or SIGINT; what it pinned stays and works on.
#pragma once

#include <string>
#include <vector>

namespace mesh::node {

struct NodeOptions {
  std::string node_name;
  std::vector<std::string> source_dirs;
  // The one of them whose files may say where a pod's namespace is; empty: the CNI plugin alone
  // may.
  std::string runtime_dir;
  std::string patch_dir;  // where pod annotations go; empty: nowhere
  std::string cgroup;     // empty: the root of the cgroup v2 hierarchy
  std::string ztunnel_cgroup;
  std::string prober_cgroup;
  std::string bpf_dir = "/sys/fs/bpf/mesh";
  std::string zds_socket = "/var/run/ztunnel/ztunnel.sock";
  std::string cni_socket = "/var/run/istio-cni/pluginevent.sock";
  std::string admin_socket;     // empty: none
  std::string metrics_address;  // IP:PORT; empty: none
  std::string state_dir = "/var/lib/mesh/node";
  std::vector<std::string> exclude_namespaces = {"kube-system"};
  std::string root_namespace = "istio-system";  // of mesh-wide PeerAuthentications
  std::string probe_ipv4 = "169.254.7.127";
  std::string probe_ipv6 = "fd16:9254:7127:1337:ffff:ffff:ffff:ffff";
  bool dns_capture = true;
  bool services = false;  // pods outside the mesh reach services without kube-proxy
  bool cleanup = false;   // undo everything instead of running
};

// The program's exit code. Logging has been set up.
int RunNode(const NodeOptions& options);

}  // namespace mesh::node
