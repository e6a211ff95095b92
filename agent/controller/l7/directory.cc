#include "agent/controller/l7/directory.h"

#include "agent/controller/translate/service.h"

namespace mesh::controller {
namespace {

using Frontend = mesh::l7::v1::Frontend;

Frontend::Protocol SpokenBy(PortProtocol protocol) {
  switch (protocol) {
    case PortProtocol::kHttp:
      return Frontend::HTTP;
    case PortProtocol::kHttp2:
    case PortProtocol::kGrpc:
    case PortProtocol::kGrpcWeb:
      return Frontend::HTTP2;
    case PortProtocol::kTls:
      return Frontend::TLS;
    case PortProtocol::kTcp:
      return Frontend::TCP;
    default:
      return Frontend::DETECT;
  }
}

}  // namespace

L7Service L7ServiceOf(const api::Service& service, const Settings& settings) {
  L7Service out;
  out.object = {k8s::Kind::kService, service.metadata().namespace_(), service.metadata().name()};
  out.host = HostnameOf(service, settings);
  for (const api::ServicePort& port : service.spec().ports()) {
    const PortProtocol protocol = ProtocolOf(port);
    if (protocol == PortProtocol::kUdp) continue;
    out.ports.push_back({static_cast<uint32_t>(port.port()), SpokenBy(protocol)});
  }
  return out;
}

L7Service L7ServiceOf(const api::ServiceEntry& entry, const std::string& host) {
  using Spec = api::ServiceEntrySpec;
  L7Service out;
  out.object = {k8s::Kind::kServiceEntry, entry.metadata().namespace_(), entry.metadata().name()};
  out.host = host;
  const Spec& spec = entry.spec();
  for (const api::ServiceEntryPort& port : spec.ports()) {
    const PortProtocol protocol = ProtocolOf(port);
    if (protocol == PortProtocol::kUdp) continue;
    out.ports.push_back({static_cast<uint32_t>(port.number()), SpokenBy(protocol)});
  }
  // Workloads that an entry selects have a tunnel as others have.
  out.external = spec.location() == Spec::MESH_EXTERNAL && !spec.has_workload_selector();
  out.passthrough = spec.resolution() == Spec::NONE;
  out.subject_alt_names.assign(spec.subject_alt_names().begin(), spec.subject_alt_names().end());
  return out;
}

bool L7Directory::Set(const k8s::Key& object, std::vector<L7Service> services) {
  const auto before = services_.find(object);
  if (before == services_.end() ? services.empty() : before->second == services) return false;
  if (before != services_.end()) {
    for (const L7Service& old : before->second) {
      behind_waypoints_ -= old.waypoint.has_value();
      auto& sharing = by_host_[old.host];
      sharing.erase(object);
      if (sharing.empty()) by_host_.erase(old.host);
    }
    services_.erase(before);
  }
  for (const L7Service& service : services) {
    behind_waypoints_ += service.waypoint.has_value();
    by_host_[service.host].insert(object);
  }
  if (!services.empty()) services_[object] = std::move(services);
  return true;
}

const L7Service* L7Directory::Find(const std::string& host, const std::string& ns) const {
  const auto sharing = by_host_.find(host);
  if (sharing == by_host_.end()) return nullptr;
  const L7Service* best = nullptr;
  for (const k8s::Key& object : sharing->second) {  // Services come before ServiceEntries
    for (const L7Service& service : services_.at(object)) {
      if (service.host != host) continue;
      if (object.ns == ns) return &service;
      if (best == nullptr) best = &service;
    }
  }
  return best;
}

}  // namespace mesh::controller
