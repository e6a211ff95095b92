#include "ztunnel/tunnel/serve.h"

namespace mesh::tunnel {

std::optional<IpAddress> AddressFor(const state::Workload& workload, const IpAddress& family_of) {
  for (const IpAddress& ip : workload.addresses) {
    if (ip.IsV4() == family_of.IsV4()) return ip;
  }
  if (workload.addresses.empty()) return std::nullopt;
  return workload.addresses.front();
}

state::ServiceRef GuessService(const state::MeshState& state, const state::Workload& destination,
                               uint16_t port, std::string_view hostname) {
  state::ServiceRef guess;
  for (const auto& [key, ports] : destination.services) {
    const size_t slash = key.view().find('/');
    if (slash == std::string_view::npos) continue;
    const std::string_view ns = key.view().substr(0, slash);
    const std::string_view host = key.view().substr(slash + 1);
    if (!hostname.empty() && host == hostname) return state.FindService(ns, host);
    if (guess) continue;
    for (const auto& [service_port, target_port] : ports) {
      if (target_port == port) guess = state.FindService(ns, host);
    }
  }
  return guess;
}

}  // namespace mesh::tunnel
