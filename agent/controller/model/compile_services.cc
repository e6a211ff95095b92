// Services, ServiceEntries and gateways.
#include <tuple>

#include "agent/controller/model/compiler.h"
#include "agent/controller/translate/network_gateway.h"
#include "agent/controller/translate/service.h"
#include "agent/controller/translate/service_entry.h"
#include "agent/controller/translate/workload.h"
#include "proto/authorization.pb.h"

namespace mesh::controller {
namespace {

using k8s::Key;

Resource MakeService(const std::string& name, const istio::workload::Service& service) {
  istio::workload::Address address;
  *address.mutable_service() = service;
  Resource resource = MakeResource(name, address);
  for (const auto& vip : service.addresses()) {
    // Prefixes are not looked up by address.
    if (!vip.has_length()) resource.aliases.push_back(AliasOf(vip.network(), vip.address()));
  }
  return resource;
}

bool Older(const api::ObjectMeta& a, const api::ObjectMeta& b) {
  const auto age = [](const api::ObjectMeta& meta) {
    return std::tie(meta.creation_timestamp(), meta.namespace_(), meta.name());
  };
  return age(a) < age(b);
}

}  // namespace

std::shared_ptr<const api::Service> Compiler::ServiceOfHost(const std::string& host) const {
  const size_t first = host.find('.');
  if (first == std::string::npos) return nullptr;
  const size_t second = host.find('.', first + 1);
  if (second == std::string::npos) return nullptr;
  const auto service = store_.Find(store_.services, host.substr(first + 1, second - first - 1),
                                   host.substr(0, first));
  if (service == nullptr || !IsSent(*service) || HostnameOf(*service, settings_) != host) {
    return nullptr;
  }
  return service;
}

bool Compiler::IsOldest(const api::ServiceEntry& entry, const std::string& host,
                        bool same_ns) const {
  const auto sharing = store_.entries_of_host.find(host);
  if (sharing == store_.entries_of_host.end()) return true;
  for (const Key& key : sharing->second) {
    if (same_ns && key.ns != entry.metadata().namespace_()) continue;
    const auto other = store_.Find(store_.service_entries, key.ns, key.name);
    if (other != nullptr && Older(other->metadata(), entry.metadata())) return false;
  }
  return true;
}

bool Compiler::OwnsHost(const api::ServiceEntry& entry, const std::string& host) const {
  const auto service = ServiceOfHost(host);
  if (service != nullptr && service->metadata().namespace_() == entry.metadata().namespace_()) {
    return false;
  }
  return IsOldest(entry, host, true);
}

bool Compiler::IsCanonical(const api::ServiceEntry& entry, const std::string& host) const {
  return ServiceOfHost(host) == nullptr && IsOldest(entry, host, false);
}

std::optional<WaypointBinding> Compiler::BindService(const Key& key,
                                                     const api::ObjectMeta& meta) const {
  auto binding = Bind(meta, TrafficType::kService);
  if (binding || !needs_.contains(key)) return binding;
  const auto gateway = store_.Find(store_.gateways, key.ns, kAutoWaypoint);
  return BindWaypoint({{key.ns, kAutoWaypoint}, false}, key.ns, TrafficType::kService,
                      {.space = store_.SpaceOf(key.ns),
                       .gateway = gateway.get(),
                       .klass = gateway != nullptr ? store_.ClassOf(*gateway) : nullptr},
                      settings_);
}

std::optional<WaypointRef> Compiler::AddWaypoint(const Key& key, const api::ObjectMeta& meta,
                                                 istio::workload::Service& out,
                                                 ObjectStatus& status) const {
  std::optional<WaypointBinding> binding = BindService(key, meta);
  if (!binding) return std::nullopt;
  if (binding->address) {
    *out.mutable_waypoint() = *binding->address;
    const std::string ingress = IngressUseOf(meta, store_.SpaceOf(meta.namespace_()));
    std::string& message = *binding->condition.mutable_message();
    if (ingress == "true") {
      out.set_ingress_use_waypoint(true);
      message += ". Ingress traffic will traverse the waypoint";
    } else if (!ingress.empty()) {
      message +=
          ". Ingress traffic is not using the waypoint, set the istio.io/ingress-use-waypoint "
          "label to true if desired.";
    }
  }
  if (status.conditions.empty()) status.conditions.push_back(std::move(binding->condition));
  if (!binding->address) return std::nullopt;
  return binding->ref;
}

void Compiler::SetL7Services(const Key& key, std::vector<L7Service> services) {
  l7_dirty_ |= l7_services_.Set(key, std::move(services));
}

void Compiler::CompileService(const Key& key) {
  const auto service = store_.Find(store_.services, key.ns, key.name);
  if (service == nullptr || !IsSent(*service)) {
    SetStatus(key, {});
    SetL7Services(key, {});
    return Produce(ResourceType::kAddress, key, {});
  }
  istio::workload::Service out = TranslateService(*service, store_.SpaceOf(key.ns), settings_);
  ObjectStatus status;
  L7Service known = L7ServiceOf(*service, settings_);
  known.waypoint = AddWaypoint(key, service->metadata(), out, status);
  SetL7Services(key, {std::move(known)});
  SetStatus(key, std::move(status));
  std::vector<Resource> resources;
  resources.push_back(MakeService(ResourceNameOf(*service, settings_), out));
  Produce(ResourceType::kAddress, key, std::move(resources));
}

void Compiler::CompileServiceEntry(const Key& key) {
  const auto entry = store_.Find(store_.service_entries, key.ns, key.name);
  if (entry == nullptr) {
    SetStatus(key, {});
    SetL7Services(key, {});
    Produce(ResourceType::kPeer, key, {});
    return Produce(ResourceType::kAddress, key, {});
  }
  const auto vips = vips_.Allocate(key, HostsToAllocate(*entry), entry->status());
  ObjectStatus status;
  std::set<std::string> hosts;
  std::vector<Resource> resources;
  std::vector<L7Service> known;
  for (const std::string& host : entry->spec().hosts()) {
    const auto automatic = vips.find(host);
    if (automatic != vips.end()) {
      for (const std::string& value : automatic->second) {
        api::ServiceEntryAddress& address = status.addresses.emplace_back();
        address.set_host(host);
        address.set_value(value);
      }
    }
    if (!OwnsHost(*entry, host)) continue;
    hosts.insert(host);
    istio::workload::Service out = TranslateHost(
        *entry, host, automatic == vips.end() ? std::vector<std::string>{} : automatic->second,
        IsCanonical(*entry, host), store_.SpaceOf(key.ns), settings_);
    known.push_back(L7ServiceOf(*entry, host));
    known.back().waypoint = AddWaypoint(key, entry->metadata(), out, status);
    resources.push_back(MakeService(key.ns + "/" + host, out));
  }
  if (NeedsWaypoint(*entry) && (known.empty() || !known.front().waypoint)) {
    api::Condition& missing = status.conditions.emplace_back();
    missing.set_type("istio.io/WaypointMissing");
    missing.set_status("True");
    missing.set_reason("NoWaypointForWildcardService");
    missing.set_message("ServiceEntry will not apply until it is bound to a valid waypoint.");
  }
  SetStatus(key, std::move(status));
  SetL7Services(key, std::move(known));
  for (EntryEndpoint& endpoint : TranslateEndpoints(*entry, hosts, settings_)) {
    for (const std::string& policy : PolicyKeysFor(key.ns, entry->metadata().labels())) {
      endpoint.workload.add_authorization_policies(policy);
    }
    AddAutoAllow(Bind(entry->metadata(), TrafficType::kService), endpoint.workload);
    AddBindings(entry->metadata(), endpoint.labels, endpoint.workload);
    resources.push_back(MakeWorkload(endpoint.workload));
  }
  Produce(ResourceType::kAddress, key, std::move(resources));
  CompilePeers(key);
}

void Compiler::CompileGateway(const Key& key) {
  std::vector<Resource> addresses;
  std::vector<Resource> policies;
  ObjectStatus status;
  if (const auto gateway = store_.Find(store_.gateways, key.ns, key.name)) {
    status = StatusOf(*gateway);
    for (const NetworkGateway& way : NetworkGatewaysOf(*gateway, settings_)) {
      addresses.push_back(MakeWorkload(way.workload));
    }
    istio::security::Authorization allow;
    if (settings_.auto_allow_waypoint) {
      for (const auto& [name, pod] : store_.In(store_.pods, key.ns)) {
        if (!IsSent(*pod) ||
            k8s::ValueOf(pod->metadata().labels(), k8s::kGatewayNameLabel) != key.name) {
          continue;
        }
        if (allow.groups().empty()) allow.add_groups()->add_rules()->add_matches();
        allow.mutable_groups(0)->mutable_rules(0)->mutable_matches(0)->add_principals()->set_exact(
            settings_.trust_domain + "/ns/" + key.ns + "/sa/" + ServiceAccountOf(*pod));
      }
    }
    if (!allow.groups().empty()) {
      const std::string name = AutoAllowKey(key.ns, key.name);
      allow.set_name(name.substr(key.ns.size() + 1));
      allow.set_namespace_(key.ns);
      allow.set_scope(istio::security::WORKLOAD_SELECTOR);
      allow.set_action(istio::security::ALLOW);
      policies.push_back(MakeResource(name, allow));
    }
  }
  Produce(ResourceType::kAddress, key, std::move(addresses));
  Produce(ResourceType::kAuthorization, key, std::move(policies));
  SetStatus(key, std::move(status));
}

}  // namespace mesh::controller
