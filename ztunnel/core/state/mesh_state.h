// The mesh as one immutable snapshot, and the store that makes the next one from deltas.
//
// MeshState is shared by workers and never changes; a connection keeps the one it began with until
// its way is clear. A
// delta costs what it touches (O(log n) or O(n / 1024)), not the size of the mesh: snapshots share
// structure.
#pragma once

#include <absl/status/status.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "ztunnel/core/state/types.h"

namespace istio::workload {
class Address;
}
namespace istio::security {
class Authorization;
}

namespace mesh::authz {
class Policy;  // core/authz/policy.h: one Authorization, compiled
using PolicyRef = std::shared_ptr<const Policy>;
}  // namespace mesh::authz

namespace mesh::state {

class MeshState {
 public:
  using AddressHit = std::variant<std::monostate, WorkloadRef, ServiceRef>;

  WorkloadRef FindWorkloadByUid(std::string_view uid) const;
  WorkloadRef FindWorkload(std::string_view network, const IpAddress& ip) const;
  // The workload of a pod, and of nothing else that has its name: found by PodUid, and its service
  // account must match. Null when unknown.
  WorkloadRef FindPod(std::string_view cluster_id, std::string_view ns, std::string_view name,
                      std::string_view service_account) const;
  ServiceRef FindService(std::string_view ns, std::string_view hostname) const;
  // By VIP, as a client in `client_ns` sees it: private services of others are dropped; then the
  // client's namespace, then canonical, then the first; CIDR VIPs only when no exact VIP is known.
  ServiceRef FindServiceByVip(std::string_view network, const IpAddress& vip,
                              std::string_view client_ns) const;
  // By hostname alone, the same preference; `preferred_ns` breaks a tie after canonical (may be
  // empty).
  ServiceRef FindServiceByHostname(std::string_view hostname, std::string_view client_ns,
                                   std::string_view preferred_ns = "") const;
  // "namespace/hostname": a service, else a workload of that namespace and hostname.
  AddressHit FindByHostname(const NamespacedHostname& name) const;
  // Workload by address first, then service by VIP.
  AddressHit FindByAddress(std::string_view network, const IpAddress& ip) const;

  // Endpoints that the service's health policy lets be chosen, in a stable order. The span lives as
  // long as this snapshot.
  std::span<const Endpoint> Endpoints(const Service& service) const;

  // Policies in force for a destination workload: of its namespace, global, and those it lists. A
  // listed policy that is not known is left out (it is on its way).
  std::vector<authz::PolicyRef> PoliciesFor(const Workload& workload) const;

  std::vector<WorkloadRef> Workloads() const;  // sorted by uid
  std::vector<ServiceRef> Services() const;    // sorted by key
  std::vector<authz::PolicyRef> Policies() const;
  // Endpoints whose service has not arrived: service key -> endpoints.
  std::vector<std::pair<std::string, std::vector<Endpoint>>> StagedEndpoints() const;
  uint64_t generation() const { return generation_; }

  struct Impl;
  explicit MeshState(std::shared_ptr<const Impl> impl, uint64_t generation)
      : impl_(std::move(impl)), generation_(generation) {}

 private:
  std::shared_ptr<const Impl> impl_;
  uint64_t generation_;
};

// What control planes name a pod's workload. Other kinds have other uids and may share a pod's
// namespace and name: entries of services, pods of other clusters.
std::string PodUid(std::string_view cluster_id, std::string_view ns, std::string_view name);

using MeshStateRef = std::shared_ptr<const MeshState>;

// Builds snapshots. One owner, one thread.
class StateStore {
 public:
  StateStore();
  ~StateStore();

  // A bad resource is refused alone (InvalidArgument that names the field) and changes nothing; the
  // version before it stays.
  absl::Status UpsertAddress(const std::string& resource_name,
                             const istio::workload::Address& address);
  absl::Status UpsertPolicy(const std::string& resource_name,
                            const istio::security::Authorization& a);
  // A workload uid, or namespace/hostname of a service. Unknown names are fine.
  void RemoveAddress(std::string_view resource_name);
  void RemovePolicy(std::string_view resource_name);

  MeshStateRef Publish();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::state
