// Pods, WorkloadEntries and endpoints listed by hand.
#include "agent/controller/model/compiler.h"
#include "agent/controller/translate/network_gateway.h"
#include "agent/controller/translate/service.h"
#include "agent/controller/translate/service_entry.h"
#include "agent/controller/translate/workload.h"

namespace mesh::controller {

using k8s::Key;

std::optional<WaypointBinding> Compiler::Bind(const api::ObjectMeta& meta,
                                              const k8s::Labels& labels, TrafficType type) const {
  const std::string& ns = meta.namespace_();
  const api::Namespace* space = store_.SpaceOf(ns);
  const auto wish = WaypointWishOf(meta, labels, space);
  if (!wish) return std::nullopt;
  const auto gateway = store_.Find(store_.gateways, wish->ref.ns, wish->ref.name);
  return BindWaypoint(*wish, ns, type,
                      {.space = space,
                       .gateway = gateway.get(),
                       .klass = gateway != nullptr ? store_.ClassOf(*gateway) : nullptr},
                      settings_);
}

void Compiler::AddAutoAllow(const std::optional<WaypointBinding>& binding,
                            istio::workload::Workload& out) const {
  if (!settings_.auto_allow_waypoint || !binding || !binding->address) return;
  const std::string key = AutoAllowKey(binding->ref.ns, binding->ref.name);
  if (!resources(ResourceType::kAuthorization).contains(key)) return;
  for (const std::string& listed : out.authorization_policies()) {
    if (listed == key) return;
  }
  out.add_authorization_policies(key);
}

void Compiler::AddNetworkGateway(istio::workload::Workload& out) const {
  if (out.network().empty() || out.network() == settings_.network) return;
  for (const auto& [ns, gateways] : store_.gateways) {
    for (const auto& [name, gateway] : gateways) {
      for (const NetworkGateway& way : NetworkGatewaysOf(*gateway, settings_)) {
        if (way.network != out.network()) continue;
        *out.mutable_network_gateway() = way.address;
        return;  // the first by name
      }
    }
  }
}

std::optional<WaypointBinding> Compiler::AddBindings(const api::ObjectMeta& meta,
                                                     const k8s::Labels& labels,
                                                     istio::workload::Workload& out) const {
  std::optional<WaypointBinding> waypoint = Bind(meta, labels, TrafficType::kWorkload);
  if (waypoint && waypoint->address) *out.mutable_waypoint() = *waypoint->address;
  AddAutoAllow(waypoint, out);
  AddNetworkGateway(out);
  return waypoint;
}

void Compiler::AddPolicies(const Key& key, const api::ObjectMeta& meta, const k8s::Labels& labels,
                           istio::workload::Workload& out) {
  std::set<WaypointRef> through = WaypointsOf(out);
  const auto own = Bind(meta, labels, TrafficType::kWorkload);
  if (own && own->address) through.insert(own->ref);
  for (const std::string& policy : GuardedPolicies(key, labels, through, out)) {
    out.add_authorization_policies(policy);
  }
}

void Compiler::CompilePod(const Key& key) {
  const auto pod = store_.Find(store_.pods, key.ns, key.name);
  if (pod == nullptr || !IsSent(*pod)) {
    DropGuard(key);
    Produce(ResourceType::kPeer, key, {});
    return Produce(ResourceType::kAddress, key, {});
  }
  const auto& labels = pod->metadata().labels();
  WorkloadContext context;
  if (const auto node = store_.nodes.find(pod->spec().node_name()); node != store_.nodes.end()) {
    context.node = node->second.get();
  }
  for (const std::string& name : store_.service_selectors.Matching(key.ns, labels)) {
    const auto service = store_.Find(store_.services, key.ns, name);
    if (IsSent(*service)) context.services.push_back(service.get());
  }
  istio::workload::Workload out = TranslatePod(*pod, context, settings_);
  AddSliceServices(key, out);
  for (const std::string& name : store_.entry_selectors.Matching(key.ns, labels)) {
    const auto entry = store_.Find(store_.service_entries, key.ns, name);
    for (const std::string& host : entry->spec().hosts()) {
      if (OwnsHost(*entry, host))
        (*out.mutable_services())[key.ns + "/" + host] = PortsOn(*entry, *pod);
    }
  }
  AddPolicies(key, pod->metadata(), labels, out);
  if (settings_.auto_allow_waypoint) {
    for (const api::Service* service : context.services) {
      AddAutoAllow(Bind(service->metadata(), TrafficType::kService), out);
    }
  }
  AddBindings(pod->metadata(), labels, out);
  if (const std::string& gateway = k8s::ValueOf(labels, k8s::kGatewayNameLabel); !gateway.empty()) {
    if (const auto own = store_.Find(store_.gateways, key.ns, gateway)) {
      const auto tunnel = ApplicationTunnelOf(*own, store_.ClassOf(*own));
      if (tunnel) *out.mutable_application_tunnel() = *tunnel;
    }
  }
  std::vector<Resource> resources;
  resources.push_back(MakeWorkload(out));
  Produce(ResourceType::kAddress, key, std::move(resources));
  CompilePeers(key);
}

void Compiler::CompileWorkloadEntry(const Key& key) {
  const auto entry = store_.Find(store_.workload_entries, key.ns, key.name);
  if (entry == nullptr) {
    SetStatus(key, {});
    DropGuard(key);
    Produce(ResourceType::kPeer, key, {});
    return Produce(ResourceType::kAddress, key, {});
  }
  const k8s::Labels labels = LabelsOf(*entry);
  istio::workload::Workload out = TranslateWorkloadEntry(*entry, settings_);
  for (const std::string& name : store_.service_selectors.Matching(key.ns, labels)) {
    const auto service = store_.Find(store_.services, key.ns, name);
    if (!IsSent(*service)) continue;
    (*out.mutable_services())[ResourceNameOf(*service, settings_)] =
        PortsOn(*service, entry->spec());
  }
  for (const std::string& name : store_.entry_selectors.Matching(key.ns, labels)) {
    const auto other = store_.Find(store_.service_entries, key.ns, name);
    for (const std::string& host : other->spec().hosts()) {
      if (!OwnsHost(*other, host)) continue;
      (*out.mutable_services())[key.ns + "/" + host] = PortsOn(*other, entry->spec());
    }
  }
  AddPolicies(key, entry->metadata(), labels, out);
  for (const std::string& name : store_.service_selectors.Matching(key.ns, labels)) {
    const auto service = store_.Find(store_.services, key.ns, name);
    if (IsSent(*service)) AddAutoAllow(Bind(service->metadata(), TrafficType::kService), out);
  }
  const auto binding = AddBindings(entry->metadata(), labels, out);
  // A namespace's waypoint is for whoever it serves; only an own wish can be disappointed.
  ObjectStatus status;
  if (binding && binding->own) status.conditions.push_back(binding->condition);
  SetStatus(key, std::move(status));
  std::vector<Resource> resources;
  resources.push_back(MakeWorkload(out));
  Produce(ResourceType::kAddress, key, std::move(resources));
  CompilePeers(key);
}

// A group is there for machines that register themselves, which nobody can here.
void Compiler::CompileWorkloadGroup(const Key& key) {
  ObjectStatus status;
  if (store_.Find(store_.workload_groups, key.ns, key.name) != nullptr) {
    api::Condition& condition = status.conditions.emplace_back();
    condition.set_type("AutoRegistration");
    condition.set_status("False");
    condition.set_reason("NotServed");
    condition.set_message(
        "The group is kept and makes no WorkloadEntry: machines do not register themselves. "
        "Write a WorkloadEntry for each, with what the template says.");
  }
  SetStatus(key, std::move(status));
}

// Where there is a selector, the pods speak for themselves.
std::shared_ptr<const api::Service> Compiler::ServiceOfSlice(
    const api::EndpointSlice& slice) const {
  auto service = store_.Find(store_.services, slice.metadata().namespace_(),
                             k8s::ValueOf(slice.metadata().labels(), k8s::kServiceNameLabel));
  const bool by_hand = service != nullptr && IsSent(*service) && service->spec().selector().empty();
  return by_hand ? service : nullptr;
}

// Whether the pod is ready is what it says itself, as for services that select it.
void Compiler::AddSliceServices(const Key& pod, istio::workload::Workload& out) const {
  const auto slices = store_.slices_of_pod.find(pod);
  if (slices == store_.slices_of_pod.end()) return;
  for (const Key& key : slices->second) {
    const auto slice = store_.Find(store_.slices, key.ns, key.name);
    const auto service = ServiceOfSlice(*slice);
    if (service == nullptr) continue;
    (*out.mutable_services())[ResourceNameOf(*service, settings_)].MergeFrom(
        PortsOn(*service, *slice));
    if (settings_.auto_allow_waypoint) {
      AddAutoAllow(Bind(service->metadata(), TrafficType::kService), out);
    }
  }
}

void Compiler::CompileSlice(const Key& key) {
  std::vector<Resource> resources;
  if (const auto slice = store_.Find(store_.slices, key.ns, key.name)) {
    if (const auto service = ServiceOfSlice(*slice)) {
      for (const auto& workload : TranslateSlice(*slice, *service, settings_)) {
        resources.push_back(MakeWorkload(workload));
      }
    }
  }
  Produce(ResourceType::kAddress, key, std::move(resources));
}

}  // namespace mesh::controller
