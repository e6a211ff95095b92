#include "agent/node/services/service_table.h"

#include <algorithm>

namespace mesh::node {
namespace {

void AddBackends(const k8s::ServiceEndpoint& endpoint, const std::vector<IpAddress>& fronts,
                 ServiceTable& table) {
  for (const k8s::PortTarget& port : endpoint.ports) {
    for (const IpAddress& front : fronts) {
      auto& backends = table[{.ip = front, .port = port.port, .udp = port.udp}];
      for (const IpAddress& ip : endpoint.addresses) {
        if (ip.IsV4() == front.IsV4()) backends.push_back({.ip = ip, .port = port.target});
      }
    }
  }
}

void AddService(const k8s::ServiceCatalog& catalog, const api::Service& service,
                const std::string& node, ServiceTable& table) {
  const std::vector<IpAddress> fronts = k8s::ClusterIps(service);
  if (fronts.empty() || service.spec().type() == "ExternalName") return;
  for (const api::ServicePort& port : service.spec().ports()) {
    const bool udp = port.protocol() == "UDP";
    if (!udp && !port.protocol().empty() && port.protocol() != "TCP") continue;
    for (const IpAddress& front : fronts)
      table[{.ip = front, .port = static_cast<uint16_t>(port.port()), .udp = udp}];
  }
  const bool local = service.spec().internal_traffic_policy() == "Local";
  for (const k8s::ServiceEndpoint& endpoint : catalog.EndpointsOf(service)) {
    if (!endpoint.ready && !service.spec().publish_not_ready_addresses()) continue;
    if (local && endpoint.node != node) continue;
    AddBackends(endpoint, fronts, table);
  }
}

}  // namespace

ServiceTable BuildServiceTable(const k8s::ServiceCatalog& catalog, const std::string& node) {
  ServiceTable table;
  for (const auto& [key, service] : catalog.services()) AddService(catalog, *service, node, table);
  for (auto& [front, backends] : table) {
    std::ranges::sort(backends);
    backends.erase(std::ranges::unique(backends).begin(), backends.end());
  }
  return table;
}

}  // namespace mesh::node
