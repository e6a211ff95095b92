#include "ztunnel/waypoint/config/config.h"

#include <fmt/format.h>

namespace mesh::waypoint {

FrontendRef Config::FindFrontend(std::string_view ns, std::string_view hostname,
                                 uint16_t port) const {
  fmt::basic_memory_buffer<char, 256> key;
  fmt::format_to(std::back_inserter(key), "{}/{}/{}", ns, hostname, port);
  const auto it = frontends.find(std::string_view(key.data(), key.size()));
  return it == frontends.end() ? nullptr : it->second;
}

lb::ClusterRef Config::FindCluster(std::string_view name) const {
  const auto it = clusters.find(name);
  return it == clusters.end() ? nullptr : it->second;
}

const Peer* Config::FindPeer(std::string_view uid) const {
  const auto it = peers.find(uid);
  return it == peers.end() ? nullptr : it->second.get();
}

}  // namespace mesh::waypoint
