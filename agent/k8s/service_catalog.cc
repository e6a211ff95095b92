#include "agent/k8s/service_catalog.h"

#include "agent/k8s/labels.h"

namespace mesh::k8s {
namespace {

template <typename T>
bool Keep(std::map<Key, std::shared_ptr<const T>>& map, const Event& event) {
  auto message = event.object.Share<T>();
  if (message == nullptr) return false;
  if (event.deleted) {
    map.erase(event.object.key());
  } else {
    map[event.object.key()] = std::move(message);
  }
  return true;
}

// The entries of one namespace.
template <typename T, typename Fn>
void ForNamespace(const std::map<Key, T>& map, Kind kind, const std::string& ns, const Fn& fn) {
  for (auto it = map.lower_bound(Key{kind, ns, ""}); it != map.end() && it->first.ns == ns; ++it)
    fn(*it->second);
}

bool IsUdp(const std::string& protocol) { return protocol == "UDP"; }
bool IsKnown(const std::string& protocol) {
  return protocol.empty() || protocol == "TCP" || protocol == "UDP";
}

bool IsReady(const api::Pod& pod) {
  for (const api::Condition& condition : pod.status().conditions()) {
    if (condition.type() == "Ready") return condition.status() == "True";
  }
  return false;
}

bool IsOver(const api::Pod& pod) {
  const std::string& phase = pod.status().phase();
  return !pod.metadata().deletion_timestamp().empty() || phase == "Succeeded" || phase == "Failed";
}

std::vector<IpAddress> AddressesOf(const api::PodStatus& status) {
  std::vector<IpAddress> addresses;
  for (const api::PodIp& pod_ip : status.pod_ips()) {
    if (const auto ip = IpAddress::Parse(pod_ip.ip())) addresses.push_back(*ip);
  }
  if (addresses.empty()) {
    if (const auto ip = IpAddress::Parse(status.pod_ip())) addresses.push_back(*ip);
  }
  return addresses;
}

double NamedPort(const api::Pod& pod, const std::string& name, bool udp) {
  for (const api::Container& container : pod.spec().containers()) {
    for (const api::ContainerPort& port : container.ports()) {
      if (port.name() == name && IsUdp(port.protocol()) == udp) return port.container_port();
    }
  }
  return 0;
}

// 0: this pod does not have it.
uint16_t TargetOn(const api::ServicePort& port, const api::Pod& pod) {
  const auto& target = port.target_port();
  double number = port.port();
  if (target.kind_case() == google::protobuf::Value::kStringValue) {
    number = NamedPort(pod, target.string_value(), IsUdp(port.protocol()));
  } else if (target.kind_case() == google::protobuf::Value::kNumberValue &&
             target.number_value() != 0) {
    number = target.number_value();
  }
  return number >= 1 && number <= 65535 ? static_cast<uint16_t>(number) : 0;
}

ServiceEndpoint OfPod(const api::Service& service, const api::Pod& pod) {
  ServiceEndpoint out = {.addresses = AddressesOf(pod.status()),
                         .ready = IsReady(pod),
                         .node = pod.spec().node_name(),
                         .hostname = "",
                         .ports = {}};
  if (pod.spec().subdomain() == service.metadata().name()) out.hostname = pod.spec().hostname();
  for (const api::ServicePort& port : service.spec().ports()) {
    const uint16_t target = IsKnown(port.protocol()) ? TargetOn(port, pod) : 0;
    if (target == 0) continue;
    out.ports.push_back({.name = port.name(),
                         .port = static_cast<uint16_t>(port.port()),
                         .udp = IsUdp(port.protocol()),
                         .target = target});
  }
  return out;
}

std::vector<PortTarget> PortsOf(const api::Service& service, const api::EndpointSlice& slice) {
  std::vector<PortTarget> ports;
  for (const api::ServicePort& port : service.spec().ports()) {
    for (const api::EndpointPort& endpoint : slice.ports()) {
      const bool same = endpoint.name() == port.name() && IsKnown(port.protocol()) &&
                        IsUdp(endpoint.protocol()) == IsUdp(port.protocol());
      if (!same || endpoint.port() < 1 || endpoint.port() > 65535) continue;
      ports.push_back({.name = port.name(),
                       .port = static_cast<uint16_t>(port.port()),
                       .udp = IsUdp(port.protocol()),
                       .target = static_cast<uint16_t>(endpoint.port())});
    }
  }
  return ports;
}

void AddSlice(const api::Service& service, const api::EndpointSlice& slice,
              std::vector<ServiceEndpoint>& out) {
  const std::vector<PortTarget> ports = PortsOf(service, slice);
  for (const api::Endpoint& endpoint : slice.endpoints()) {
    // Pods are found by the selector.
    if (endpoint.target_ref().kind() == "Pod") continue;
    for (const std::string& text : endpoint.addresses()) {
      const auto ip = IpAddress::Parse(text);
      if (!ip) continue;
      const auto& conditions = endpoint.conditions();
      out.push_back({.addresses = {*ip},
                     .ready = !conditions.has_ready() || conditions.ready(),
                     .node = endpoint.node_name(),
                     .hostname = endpoint.hostname(),
                     .ports = ports});
    }
  }
}

}  // namespace

bool ServiceCatalog::Apply(const std::vector<Event>& events) {
  bool changed = false;
  for (const Event& event : events) {
    changed |= Keep(services_, event);
    changed |= Keep(pods_, event);
    changed |= Keep(slices_, event);
  }
  return changed;
}

const api::Service* ServiceCatalog::Find(const std::string& ns, const std::string& name) const {
  const auto it = services_.find(Key{Kind::kService, ns, name});
  return it == services_.end() ? nullptr : it->second.get();
}

std::vector<ServiceEndpoint> ServiceCatalog::EndpointsOf(const api::Service& service) const {
  std::vector<ServiceEndpoint> out;
  if (service.spec().type() == "ExternalName") return out;
  const std::string& ns = service.metadata().namespace_();
  if (!service.spec().selector().empty()) {
    ForNamespace(pods_, Kind::kPod, ns, [&](const api::Pod& pod) {
      if (IsOver(pod) || !Matches(service.spec().selector(), pod.metadata().labels())) return;
      ServiceEndpoint endpoint = OfPod(service, pod);
      if (!endpoint.addresses.empty()) out.push_back(std::move(endpoint));
    });
  }
  ForNamespace(slices_, Kind::kEndpointSlice, ns, [&](const api::EndpointSlice& slice) {
    if (ValueOf(slice.metadata().labels(), kServiceNameLabel) == service.metadata().name())
      AddSlice(service, slice, out);
  });
  return out;
}

std::vector<IpAddress> ClusterIps(const api::Service& service) {
  std::vector<IpAddress> ips;
  for (const std::string& text : service.spec().cluster_ips()) {
    if (const auto ip = IpAddress::Parse(text)) ips.push_back(*ip);
  }
  if (ips.empty()) {
    if (const auto ip = IpAddress::Parse(service.spec().cluster_ip())) ips.push_back(*ip);
  }
  return ips;
}

}  // namespace mesh::k8s
