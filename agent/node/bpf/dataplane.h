// The kernel's side of one node: programs, links and maps, pinned below <bpf_dir>/v1, so that they
// outlive the agent.
//
// Open() adopts what is pinned: maps keep their contents and each link gets the new code in one
// step, so a restart has no gap. A first start prepares everything in a folder of another name and
// publishes it with one rename. The destructor leaves the kernel's side as it is; Cleanup() takes
// it away.
//
// Owner: the node's main. Thread: Open, the Set/Erase/Attach/Detach calls and RefreshCgroups() from
// one thread; Counters(), Maps() and Programs() from any.
#pragma once

#include <absl/status/statusor.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/node/bpf/map.h"
#include "agent/node/service.h"
#include "bpf/include/mesh_abi.h"
#include "ztunnel/base/ip.h"
#include "ztunnel/base/netns.h"

namespace mesh::node {

struct DataplaneOptions {
  std::string bpf_dir;         // on a bpffs; mounted if need be
  std::string cgroup;          // the pods are below it
  std::string ztunnel_cgroup;  // exempt from capture; empty: nobody is
  std::string prober_cgroup;   // whose connections to pods are health probes; empty: nobody's
  IpAddress probe_v4;
  IpAddress probe_v6;
  bool services = false;  // whether mesh_services is used: only where there is no kube-proxy
};

struct MapInfo {
  std::string name;
  uint32_t id = 0;
  std::string type;
  uint32_t entries = 0;  // 0 where counting makes no sense (arrays, socket storage)
  uint32_t max_entries = 0;
};

struct ProgramInfo {
  std::string name;
  uint32_t id = 0;
  std::string type;
  std::string attached;  // "cgroup PATH" or "N pods"
};

struct Counters {
  std::array<uint64_t, MESH_REASON_COUNT> refusals{};
  std::array<uint64_t, MESH_CAPTURE_COUNT> captures{};
};

class Dataplane {
 public:
  static absl::StatusOr<std::unique_ptr<Dataplane>> Open(DataplaneOptions options);
  ~Dataplane();
  Dataplane(const Dataplane&) = delete;
  Dataplane& operator=(const Dataplane&) = delete;

  bool adopted() const;  // whether an earlier agent's maps were found

  absl::Status SetNetns(uint64_t cookie, uint32_t flags);
  std::optional<uint32_t> NetnsFlags(uint64_t cookie) const;
  absl::Status EraseNetns(uint64_t cookie);
  absl::Status SetPod(const IpAddress& ip, uint64_t cookie, uint32_t flags);
  // Only where the entry still belongs to that namespace: an address may have a new owner by now.
  absl::Status ErasePod(const IpAddress& ip, uint64_t cookie);
  // Of more backends than MESH_SERVICE_BACKENDS the first are used.
  absl::Status SetService(const ServiceFront& front, const std::vector<SocketAddress>& backends);
  absl::Status EraseService(const ServiceFront& front);
  ServiceTable Services() const;
  // Inbound of the namespace goes through mesh_lookup; pinned under the pod's uid. Idempotent.
  absl::Status AttachLookup(const Netns& netns, const std::string& uid);
  absl::Status DetachLookup(const std::string& uid);
  // Whether the namespace that AttachLookup was for still is, whatever its path says. False when
  // nothing is attached for the pod.
  bool NetnsLives(const std::string& uid) const;
  // Whether the daemon's inbound listener of that namespace is known to the kernel.
  bool HasListener(uint64_t cookie) const;
  // Pods with a pinned link, and every namespace and address in the maps: what an earlier agent
  // left.
  std::vector<std::string> AttachedUids() const;
  std::vector<uint64_t> Cookies() const;
  std::map<IpAddress, mesh_pod> Pods() const;

  // Looks again which cgroups the daemon and the prober have; they are made anew with their
  // containers.
  absl::Status RefreshCgroups();

  Counters ReadCounters() const;
  std::vector<MapInfo> Maps() const;
  std::vector<ProgramInfo> Programs() const;

  // Detaches and removes everything below `bpf_dir` that Open() or Attach made, and nothing else.
  static absl::Status Cleanup(const std::string& bpf_dir);

 private:
  struct Impl;
  explicit Dataplane(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::node
