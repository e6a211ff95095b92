#include "agent/controller/translate/network_gateway.h"

#include <fmt/format.h>

#include "agent/k8s/labels.h"
#include "ztunnel/base/ip.h"

namespace mesh::controller {

namespace wl = istio::workload;

std::vector<NetworkGateway> NetworkGatewaysOf(const api::Gateway& gateway,
                                              const Settings& settings) {
  const api::ObjectMeta& meta = gateway.metadata();
  const std::string& network = k8s::ValueOf(meta.labels(), "topology.istio.io/network");
  std::vector<NetworkGateway> all;
  if (network.empty() || gateway.spec().gateway_class_name() != "istio-remote") return all;
  uint32_t port = 0;
  for (const api::GatewayListener& listener : gateway.spec().listeners()) {
    if (listener.protocol() == "HBONE") port = static_cast<uint32_t>(listener.port());
  }
  if (port == 0) return all;
  for (const api::GatewayAddress& address : gateway.status().addresses()) {
    NetworkGateway& out = all.emplace_back();
    out.network = network;
    out.workload.set_uid(fmt::format("NetworkGateway/{}/{}/{}", network, address.value(), port));
    out.workload.set_name(out.workload.uid());
    out.workload.set_namespace_(meta.namespace_());
    out.workload.set_network(network);
    out.workload.set_service_account(
        k8s::ValueOf(meta.annotations(), "gateway.istio.io/service-account"));
    if (settings.trust_domain != "cluster.local") {
      out.workload.set_trust_domain(settings.trust_domain);
    }
    if (const auto ip = IpAddress::Parse(address.value()); ip && address.type() != "Hostname") {
      out.workload.add_addresses(ip->ToBytes());
      out.address.mutable_address()->set_network(network);
      out.address.mutable_address()->set_address(ip->ToBytes());
    } else {
      out.workload.set_hostname(address.value());
      out.address.mutable_hostname()->set_namespace_(meta.namespace_());
      out.address.mutable_hostname()->set_hostname(address.value());
    }
    out.address.set_hbone_mtls_port(port);
  }
  return all;
}

}  // namespace mesh::controller
