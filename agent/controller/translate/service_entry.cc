#include "agent/controller/translate/service_entry.h"

#include <fmt/format.h>

#include "agent/controller/translate/service.h"
#include "ztunnel/base/ip.h"

namespace mesh::controller {
namespace {

namespace wl = istio::workload;
using k8s::ValueOf;
using Spec = api::ServiceEntrySpec;

bool IsWildcard(std::string_view host) { return !host.empty() && host.front() == '*'; }

uint32_t TargetOf(const api::ServiceEntryPort& port) {
  return static_cast<uint32_t>(port.target_port() != 0 ? port.target_port() : port.number());
}

void AddPort(uint32_t service_port, uint32_t target_port, wl::PortList& list) {
  wl::Port& port = *list.add_ports();
  port.set_service_port(service_port);
  port.set_target_port(target_port);
}

// region/zone/subzone, the later ones optional.
void AddLocality(const std::string& text, wl::Workload& out) {
  if (text.empty()) return;
  const size_t first = text.find('/');
  wl::Locality& locality = *out.mutable_locality();
  locality.set_region(text.substr(0, first));
  if (first == std::string::npos) return;
  const size_t second = text.find('/', first + 1);
  locality.set_zone(text.substr(first + 1, second - first - 1));
  if (second != std::string::npos) locality.set_subzone(text.substr(second + 1));
}

// What an endpoint says of itself, inline or as an object.
void AddEndpoint(const api::WorkloadEntrySpec& endpoint, const Settings& settings,
                 wl::Workload& out) {
  if (const auto ip = IpAddress::Parse(endpoint.address())) {
    out.add_addresses(ip->ToBytes());
  } else {
    out.set_hostname(endpoint.address());
  }
  out.set_network(endpoint.network().empty() ? settings.network : endpoint.network());
  out.set_service_account(endpoint.service_account());
  if (endpoint.weight() > 0) {
    out.mutable_capacity()->set_value(static_cast<uint32_t>(endpoint.weight()));
  }
  AddLocality(endpoint.locality(), out);
  if (ValueOf(endpoint.labels(), "networking.istio.io/tunnel") == "http") {
    out.set_tunnel_protocol(wl::HBONE);
    out.set_native_tunnel(true);
  }
}

wl::Workload NewWorkload(const api::ObjectMeta& meta, const k8s::Labels& labels,
                         const Settings& settings) {
  wl::Workload out;
  out.set_name(meta.name());
  out.set_namespace_(meta.namespace_());
  out.set_workload_name(meta.name());
  out.set_workload_type(wl::POD);
  out.set_cluster_id(settings.cluster_id);
  if (settings.trust_domain != "cluster.local") out.set_trust_domain(settings.trust_domain);
  AddCanonical(labels, meta.name(), out);
  return out;
}

}  // namespace

wl::Service TranslateHost(const api::ServiceEntry& entry, const std::string& host,
                          const std::vector<std::string>& automatic, bool canonical,
                          const api::Namespace* space, const Settings& settings) {
  const Spec& spec = entry.spec();
  wl::Service out;
  out.set_name(entry.metadata().name());
  out.set_namespace_(entry.metadata().namespace_());
  out.set_hostname(host);
  std::vector<std::string> addresses(spec.addresses().begin(), spec.addresses().end());
  if (addresses.empty()) addresses = automatic;
  for (const std::string& text : addresses) {
    const auto prefix = IpPrefix::Parse(text);
    if (!prefix) continue;  // validation let none through
    wl::NetworkAddress& address = *out.add_addresses();
    address.set_network(settings.network);
    address.set_address(prefix->address.ToBytes());
    if (prefix->length < (prefix->address.IsV4() ? 32 : 128)) address.set_length(prefix->length);
  }
  for (const api::ServiceEntryPort& port : spec.ports()) {
    wl::Port& added = *out.add_ports();
    added.set_service_port(static_cast<uint32_t>(port.number()));
    added.set_target_port(TargetOf(port));
    added.set_app_protocol(AppProtocolOf(port));
  }
  for (const std::string& name : spec.subject_alt_names()) out.add_subject_alt_names(name);
  if (spec.resolution() == Spec::NONE) {
    out.mutable_load_balancing()->set_mode(wl::LoadBalancing::PASSTHROUGH);
    out.mutable_load_balancing()->set_health_policy(wl::LoadBalancing::ALLOW_ALL);
  } else {
    AddDistribution("", entry.metadata(), space, out);
  }
  out.set_canonical(canonical);
  return out;
}

std::vector<std::string> HostsToAllocate(const api::ServiceEntry& entry) {
  const Spec& spec = entry.spec();
  std::vector<std::string> hosts;
  if (!spec.addresses().empty() || spec.resolution() == Spec::NONE ||
      ValueOf(entry.metadata().labels(), "networking.istio.io/enable-autoallocate-ip") == "false") {
    return hosts;
  }
  for (const std::string& host : spec.hosts()) {
    if (!IsWildcard(host)) hosts.push_back(host);
  }
  return hosts;
}

bool NeedsWaypoint(const api::ServiceEntry& entry) {
  for (const std::string& host : entry.spec().hosts()) {
    if (!IsWildcard(host)) return false;
  }
  return true;
}

wl::PortList PortsOn(const api::ServiceEntry& entry, const api::Pod& pod) {
  wl::PortList list;
  for (const api::ServiceEntryPort& port : entry.spec().ports()) {
    const uint32_t named = port.target_port() != 0 ? 0 : FindNamedPort(pod, port.name());
    AddPort(static_cast<uint32_t>(port.number()), named != 0 ? named : TargetOf(port), list);
  }
  return list;
}

wl::PortList PortsOn(const api::ServiceEntry& entry, const api::WorkloadEntrySpec& endpoint) {
  wl::PortList list;
  for (const api::ServiceEntryPort& port : entry.spec().ports()) {
    const auto own = endpoint.ports().find(port.name());
    AddPort(static_cast<uint32_t>(port.number()),
            own != endpoint.ports().end() ? static_cast<uint32_t>(own->second) : TargetOf(port),
            list);
  }
  return list;
}

wl::PortList PortsOn(const api::Service& service, const api::WorkloadEntrySpec& endpoint) {
  wl::PortList list;
  for (const api::ServicePort& port : service.spec().ports()) {
    if (!port.protocol().empty() && port.protocol() != "TCP") continue;
    uint32_t target = TargetNumber(port);
    for (const std::string& name : {port.target_port().string_value(), port.name()}) {
      const auto own = endpoint.ports().find(name);
      if (own == endpoint.ports().end()) continue;
      target = static_cast<uint32_t>(own->second);
      break;
    }
    if (target != 0) AddPort(static_cast<uint32_t>(port.port()), target, list);
  }
  return list;
}

std::vector<EntryEndpoint> TranslateEndpoints(const api::ServiceEntry& entry,
                                              const std::set<std::string>& hosts,
                                              const Settings& settings) {
  const api::ObjectMeta& meta = entry.metadata();
  const Spec& spec = entry.spec();
  std::vector<EntryEndpoint> all;
  std::set<std::string> seen;
  const auto add = [&](const api::WorkloadEntrySpec& endpoint,
                       const std::set<std::string>& served) {
    wl::Workload out = NewWorkload(meta, meta.labels(), settings);
    out.set_uid(fmt::format("{}/networking.istio.io/ServiceEntry/{}/{}/{}", settings.cluster_id,
                            meta.namespace_(), meta.name(), endpoint.address()));
    if (!seen.insert(out.uid()).second) return;  // the first of one address counts
    AddEndpoint(endpoint, settings, out);
    for (const std::string& host : served) {
      (*out.mutable_services())[meta.namespace_() + "/" + host] = PortsOn(entry, endpoint);
    }
    all.push_back({endpoint.labels(), std::move(out)});
  };
  if (hosts.empty()) return all;
  for (const api::WorkloadEntrySpec& endpoint : spec.endpoints()) add(endpoint, hosts);
  const bool dns = spec.resolution() == Spec::DNS || spec.resolution() == Spec::DNS_ROUND_ROBIN;
  if (!dns || !spec.endpoints().empty() || spec.has_workload_selector()) return all;
  for (const std::string& host : hosts) {  // the name itself is the endpoint
    api::WorkloadEntrySpec endpoint;
    endpoint.set_address(host);
    if (!IsWildcard(host)) add(endpoint, {host});
  }
  return all;
}

k8s::Labels LabelsOf(const api::WorkloadEntry& entry) {
  k8s::Labels labels = entry.metadata().labels();
  for (const auto& [key, value] : entry.spec().labels()) labels[key] = value;
  return labels;
}

std::string UidOf(const api::WorkloadEntry& entry, const Settings& settings) {
  return fmt::format("{}/networking.istio.io/WorkloadEntry/{}/{}", settings.cluster_id,
                     entry.metadata().namespace_(), entry.metadata().name());
}

wl::Workload TranslateWorkloadEntry(const api::WorkloadEntry& entry, const Settings& settings) {
  wl::Workload out = NewWorkload(entry.metadata(), LabelsOf(entry), settings);
  out.set_uid(UidOf(entry, settings));
  AddEndpoint(entry.spec(), settings, out);
  return out;
}

}  // namespace mesh::controller
