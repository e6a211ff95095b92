// Objects in, compiled resources out, incrementally: a change recompiles what depends on it (a pod:
// that pod; a service or entry: itself, the pods and WorkloadEntries that it selects or selected,
// its endpoint slices and the pods that they name, entries of the same host; a policy with a
// selector: itself and the workloads that it selects or selected; a waypoint: who uses it; a
// network's gateway: workloads of that network) and tells only what came out different.
//
// By topic: dependents.cc (what depends on what), compile_workloads.cc, compile_services.cc,
// compile_policies.cc.
//
// Owner: the controller. Thread: one.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/controller/model/object_store.h"
#include "agent/controller/model/resource.h"
#include "agent/controller/model/settings.h"
#include "agent/controller/model/vip_allocator.h"
#include "agent/controller/translate/policy_target.h"
#include "agent/controller/translate/waypoint.h"
#include "agent/k8s/source.h"

namespace mesh::controller {

// What is written back to an object.
struct ObjectStatus {
  std::vector<api::Condition> conditions;
  std::vector<api::ServiceEntryAddress> addresses;  // of a ServiceEntry
  bool empty() const { return conditions.empty() && addresses.empty(); }
};

class Compiler {
 public:
  explicit Compiler(Settings flags);

  // Applies one batch; the answer is in no particular order and free of repetitions.
  std::vector<ResourceChange> Apply(const std::vector<k8s::Event>& events);

  using Resources = std::map<std::string, ResourceRef, std::less<>>;
  const Resources& resources(ResourceType type) const;
  const Settings& settings() const { return settings_; }
  // Of the mesh configuration; empty when there is none.
  const std::string& settings_problem() const { return settings_problem_; }
  size_t object_count() const { return store_.size(); }
  // Objects compiled so far: what a change cost.
  uint64_t compiled() const { return compiled_; }
  const VipAllocator& vips() const { return vips_; }

  // Whether a pod of this identity runs on the node, for the certificate authority; if not, why.
  absl::Status CheckRunsOn(const std::string& node, const std::string& ns,
                           const std::string& service_account) const;

  // Statuses that the latest Apply() changed; an empty one takes back what was written.
  std::map<k8s::Key, ObjectStatus> TakeStatuses();

 private:
  struct Dirty {
    std::set<k8s::Key> keys;
    bool everything = false;
    bool static_strict = false;
  };

  void Note(const k8s::Event& event, Dirty& dirty);
  void NoteNamespace(const k8s::Event& event, Dirty& dirty) const;
  void NoteGateway(const k8s::Key& key, Dirty& dirty) const;
  void MarkWorkloads(const std::string& ns, Dirty& dirty) const;  // of all when root
  void MarkService(const api::Service& service, Dirty& dirty) const;
  void MarkEntry(const api::ServiceEntry& entry, Dirty& dirty) const;
  void MarkHost(const std::string& host, Dirty& dirty) const;  // entries that have it
  void MarkMatching(const std::string& ns, const k8s::Labels& selector, Dirty& dirty) const;
  // Workloads under a policy; of all namespaces when `ns` is the root.
  void MarkGoverned(const std::string& ns, const k8s::Labels& selector, Dirty& dirty) const;
  void MarkSlice(const api::EndpointSlice& slice, Dirty& dirty) const;  // and pods that it names
  void MarkNetwork(const api::Gateway& gateway, Dirty& dirty) const;    // workloads beyond it
  void MarkTargeting(const std::string& ns, Dirty& dirty) const;        // policies; empty: of all
  void MarkEverything(Dirty& dirty) const;

  void CompileAll(Dirty& dirty);
  void CompilePod(const k8s::Key& key);
  void CompileWorkloadEntry(const k8s::Key& key);
  void CompileWorkloadGroup(const k8s::Key& key);
  void CompileSlice(const k8s::Key& key);
  void CompileService(const k8s::Key& key);
  void CompileServiceEntry(const k8s::Key& key);
  void CompileGateway(const k8s::Key& key);
  void CompileAuthorization(const k8s::Key& key);
  void CompilePeerAuthentication(const k8s::Key& key);
  void CompileStaticStrict();

  std::shared_ptr<const api::Service> ServiceOfHost(const std::string& host) const;
  // Of several entries of one host the oldest counts, in its namespace and for being canonical.
  bool OwnsHost(const api::ServiceEntry& entry, const std::string& host) const;
  bool IsCanonical(const api::ServiceEntry& entry, const std::string& host) const;
  bool IsOldest(const api::ServiceEntry& entry, const std::string& host, bool same_ns) const;

  std::optional<WaypointBinding> Bind(const api::ObjectMeta& meta, const k8s::Labels& labels,
                                      TrafficType type) const;
  std::optional<WaypointBinding> Bind(const api::ObjectMeta& meta, TrafficType type) const {
    return Bind(meta, meta.labels(), type);
  }
  // Waypoint, network gateway and policies: the same for every sort of workload. The waypoint's
  // binding is the answer.
  std::optional<WaypointBinding> AddBindings(const api::ObjectMeta& meta, const k8s::Labels& labels,
                                             istio::workload::Workload& out) const;
  // The service whose endpoints the slice lists by hand; null when there is none.
  std::shared_ptr<const api::Service> ServiceOfSlice(const api::EndpointSlice& slice) const;
  // Services whose endpoints are listed by hand, the pod among them.
  void AddSliceServices(const k8s::Key& pod, istio::workload::Workload& out) const;
  void AddNetworkGateway(istio::workload::Workload& out) const;
  void AddAutoAllow(const std::optional<WaypointBinding>& binding,
                    istio::workload::Workload& out) const;
  // Sets waypoint and its condition of a service.
  void AddWaypoint(const api::ObjectMeta& meta, istio::workload::Service& out,
                   ObjectStatus& status) const;
  TargetResult ResolveTarget(const api::PolicyTargetReference& target, const std::string& ns) const;
  std::vector<std::string> PolicyKeysFor(const std::string& ns, const k8s::Labels& labels) const;

  void SetStatus(const k8s::Key& key, ObjectStatus status);
  // Replaces what `key` produced of this type.
  void Produce(ResourceType type, const k8s::Key& key, std::vector<Resource> resources);

  const Settings flags_;
  Settings settings_;
  std::string settings_problem_;
  ObjectStore store_;
  VipAllocator vips_;

  using Slot = std::pair<ResourceType, std::string>;
  Resources addresses_;
  Resources authorizations_;
  std::map<Slot, k8s::Key> producers_;
  std::map<std::pair<ResourceType, k8s::Key>, std::set<std::string>> produced_;
  std::map<Slot, ResourceRef> changes_;
  std::map<k8s::Key, ObjectStatus> statuses_;
  std::set<k8s::Key> with_status_;
  uint64_t compiled_ = 0;
};

// Of a workload, with its aliases and owner.
Resource MakeWorkload(const istio::workload::Workload& workload);
std::string AliasOf(const std::string& network, std::string_view bytes);

}  // namespace mesh::controller
