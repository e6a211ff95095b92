// Objects in, compiled resources out, incrementally: a change recompiles what depends on it (a pod:
// that pod; a service or entry: itself, the pods and WorkloadEntries that it selects or selected,
// its endpoint slices and the pods that they name, entries of the same host; a policy with a
// selector: itself and the workloads that it selects or selected; a waypoint: who uses it; a
// network's gateway: workloads of that network) and tells only what came out different.
//
// What waypoints are told (proto/l7_*.proto) is compiled as a whole when a service behind a
// waypoint, or a rule, changed; labels of workloads one by one.
//
// By topic: dependents.cc (what depends on what), compile_workloads.cc, compile_services.cc,
// compile_policies.cc, compile_l7.cc (what waypoints are told), compile_guard.cc (policies that
// waypoints enforce for workloads), compile_waypoints.cc (waypoints as objects).
//
// Owner: the controller. Thread: one.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/controller/l7/directory.h"
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
  std::vector<api::ServiceEntryAddress> addresses;     // of a ServiceEntry
  std::vector<api::GatewayAddress> gateway_addresses;  // of a Gateway
  bool empty() const {
    return conditions.empty() && addresses.empty() && gateway_addresses.empty();
  }
};

class DestinationRules;
class VirtualServices;

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
  // Objects of its own making that the latest Apply() changed, as JSON: waypoints that rules need,
  // and what belongs to a waypoint. Empty text: to be removed. They are to come back as events.
  std::map<k8s::Key, std::string> TakeObjects();

 private:
  struct Dirty {
    std::set<k8s::Key> keys;
    bool everything = false;
    bool static_strict = false;
  };

  void Note(const k8s::Event& event, Dirty& dirty);
  void NoteNamespace(const k8s::Event& event, Dirty& dirty);
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
  void MarkHttpPolicies(Dirty& dirty) const;
  void MarkEverything(Dirty& dirty) const;

  // The waypoint that enforces what selects workloads of a namespace.
  struct Enforcer {
    WaypointRef ref;
    istio::workload::GatewayAddress address;
  };
  std::optional<Enforcer> EnforcerFor(const std::string& ns) const;
  bool HasHttpPolicy(const std::string& ns) const;
  // What waypoints enforce for one workload.
  struct Guard {
    std::set<WaypointRef> waypoints;    // that may carry its traffic
    std::vector<std::string> policies;  // AuthorizationPolicies that select it
    bool exclusive = false;             // some need HTTP: nobody but the waypoints is let in
    bool allow = false;                 // others would not let the waypoints in
    std::optional<istio::workload::GatewayAddress> address;  // for traffic to the workload itself
    bool operator==(const Guard& other) const {
      return waypoints == other.waypoints && policies == other.policies &&
             exclusive == other.exclusive && allow == other.allow;
    }
  };
  std::optional<Guard> GuardOf(const std::string& ns, const k8s::Labels& labels,
                               const std::set<WaypointRef>& service_waypoints) const;
  // The policies that a workload lists. Notes its guard, and sends traffic for it to the waypoint.
  std::vector<std::string> GuardedPolicies(const k8s::Key& key, const k8s::Labels& labels,
                                           const std::set<WaypointRef>& service_waypoints,
                                           istio::workload::Workload& out);
  void AddPolicies(const k8s::Key& key, const api::ObjectMeta& meta, const k8s::Labels& labels,
                   istio::workload::Workload& out);
  void DropGuard(const k8s::Key& key);
  void CompileGuards();
  std::set<WaypointRef> WaypointsOf(const istio::workload::Workload& workload) const;

  void UpdateHttpPolicies();
  void UpdateNeeds(Dirty& dirty);
  std::string PolicyWhyFor(const k8s::Key& object, const k8s::Labels& selector) const;
  void MakeObjects();
  ObjectStatus StatusOf(const api::Gateway& gateway) const;

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
  void CompileL7();
  // The labels of workloads that the rules ask for.
  std::set<std::string> CompileL7Rules(const VirtualServices& virtual_services,
                                       const DestinationRules& destination_rules);
  void CompileAuthentication(const k8s::Key& key);
  ObjectStatus StatusOf(const api::VirtualService& rule,
                        const VirtualServices& virtual_services) const;
  ObjectStatus StatusOf(const api::DestinationRule& rule) const;
  void TellL7Statuses(const VirtualServices& virtual_services);
  api::Condition BoundHosts(const std::vector<std::string>& hosts, int64_t generation) const;
  // Names of what is in force for a service by its targets, and (authentications) its selector.
  template <typename T>
  std::vector<std::string> TargetingNames(const ObjectStore::ByNamespace<T>& all,
                                          const L7Service& service) const;
  template <typename T>
  bool IsTargeted(const T& object, const L7Service& service) const;
  std::vector<std::string> AuthenticationsOf(const L7Service& service) const;
  std::vector<std::shared_ptr<const api::Telemetry>> TelemetryChainOf(
      const L7Service& service) const;
  // What waypoints are told of the workloads that an object stands for.
  void CompilePeers(const k8s::Key& key);
  void CompileAllPeers();

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
  // Sets waypoint and its condition of a service. The waypoint, if it is bound.
  std::optional<WaypointRef> AddWaypoint(const k8s::Key& key, const api::ObjectMeta& meta,
                                         istio::workload::Service& out, ObjectStatus& status) const;
  // As its labels say, else as its rules need.
  std::optional<WaypointBinding> BindService(const k8s::Key& key,
                                             const api::ObjectMeta& meta) const;
  void SetL7Services(const k8s::Key& key, std::vector<L7Service> services);
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
  std::array<Resources, std::size(kResourceTypes)> resources_;
  std::map<Slot, k8s::Key> producers_;
  std::map<std::pair<ResourceType, k8s::Key>, std::set<std::string>> produced_;
  std::map<Slot, ResourceRef> changes_;
  std::map<k8s::Key, ObjectStatus> statuses_;
  std::set<k8s::Key> with_status_;
  std::map<std::string, std::shared_ptr<const api::AuthorizationPolicy>>
      http_policies_;                 // that select workloads and need a waypoint
  std::map<k8s::Key, Guard> guards_;  // of workloads
  bool guards_dirty_ = false;
  std::map<k8s::Key, std::string> needs_;  // services that get a waypoint unasked, and why
  bool needs_dirty_ = true;
  std::map<k8s::Key, std::string> made_;     // objects of our own, by hash
  std::map<k8s::Key, std::string> objects_;  // those that changed
  std::set<k8s::Key> l7_told_;               // rules with a status
  L7Directory l7_services_;
  bool l7_dirty_ = true;
  bool l7_in_use_ = false;           // some service is behind a waypoint
  std::set<std::string> l7_labels_;  // keys that rules ask for
  uint64_t compiled_ = 0;
};

// A waypoint that is made without being asked for is called so.
inline constexpr char kAutoWaypoint[] = "waypoint";

// Of a workload, with its aliases and owner.
Resource MakeWorkload(const istio::workload::Workload& workload);
std::string AliasOf(const std::string& network, std::string_view bytes);

}  // namespace mesh::controller
