#include "ztunnel/waypoint/proxy/target.h"

#include "ztunnel/base/status.h"
#include "ztunnel/core/telemetry/telemetry.h"

namespace mesh::waypoint {
namespace {

using telemetry::WithReason;

bool IsSelf(const state::MeshState& state, const state::GatewayAddress& gateway, const Self& self) {
  state::ServiceRef service;
  if (const auto* name = std::get_if<state::NamespacedHostname>(&gateway.destination)) {
    service = state.FindService(name->ns.view(), name->hostname.view());
  } else {
    const auto& address = std::get<state::NetworkAddress>(gateway.destination);
    service = state.FindServiceByVip(address.network.view(), address.ip, self.ns);
  }
  return service != nullptr && service->ns == self.ns && service->name == self.service;
}

absl::Status CheckMine(const state::MeshState& state,
                       const state::Boxed<state::GatewayAddress>& gateway, const Self& self,
                       std::string_view what) {
  if (gateway.has_value() && IsSelf(state, *gateway, self)) return absl::OkStatus();
  return WithReason(PermissionDenied("{} does not go through this waypoint", what),
                    MESH_REASON_UNKNOWN_DESTINATION);
}

absl::StatusOr<Target> ServiceTarget(const Config& config, state::ServiceRef service, uint16_t port,
                                     const Self& self) {
  RETURN_IF_ERROR(CheckMine(*config.state, service->waypoint, self, "service " + service->Key()));
  if (!service->ports.contains(port)) {
    return WithReason(NotFound("service {} has no port {}", service->Key(), port),
                      MESH_REASON_SERVICE_PORT_UNKNOWN);
  }
  Target target;
  target.frontend = config.FindFrontend(service->ns, service->hostname, port);
  if (target.frontend == nullptr) {  // on its way, and with it its policies
    return WithReason(Unavailable("the rules of {} port {} have not arrived", service->Key(), port),
                      MESH_REASON_L7_NOT_ENFORCEABLE);
  }
  target.service = std::move(service);
  target.port = port;
  return target;
}

}  // namespace

absl::StatusOr<Target> ResolveTarget(const Config& config, const hbone::Authority& authority,
                                     const Self& self, std::string_view client_ns) {
  const state::MeshState& state = *config.state;
  if (const auto* host = std::get_if<hbone::HostPort>(&authority)) {
    state::ServiceRef service = state.FindServiceByHostname(host->host, client_ns);
    if (service == nullptr) {
      return WithReason(NotFound("no service has the name {}", host->host),
                        MESH_REASON_UNKNOWN_DESTINATION);
    }
    ASSIGN_OR_RETURN(Target target, ServiceTarget(config, std::move(service), host->port, self));
    target.asked.port = host->port;
    return target;
  }
  const SocketAddress& address = std::get<SocketAddress>(authority);
  if (state::ServiceRef service = state.FindServiceByVip(self.network, address.ip, client_ns)) {
    ASSIGN_OR_RETURN(Target target, ServiceTarget(config, std::move(service), address.port, self));
    target.asked = address;
    return target;
  }
  Target target;
  target.workload = state.FindWorkload(self.network, address.ip);
  if (target.workload == nullptr) {
    return WithReason(NotFound("{} is neither a service nor a workload", address.ToString()),
                      MESH_REASON_UNKNOWN_DESTINATION);
  }
  RETURN_IF_ERROR(
      CheckMine(state, target.workload->waypoint, self, "workload " + address.ip.ToString()));
  target.asked = address;
  target.port = address.port;
  return target;
}

}  // namespace mesh::waypoint
