// What a waypoint knows: the mesh and the L7 configuration, as one immutable snapshot.
//
// Made by ConfigStore on the main thread and shared by the workers; a request keeps the one it
// began with. Lookups are by view and allocate nothing.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <memory>
#include <string>
#include <string_view>

#include "ztunnel/base/string_map.h"
#include "ztunnel/core/state/mesh_state.h"
#include "ztunnel/waypoint/filter/authz.h"
#include "ztunnel/waypoint/filter/jwt.h"
#include "ztunnel/waypoint/lb/cluster.h"
#include "ztunnel/waypoint/route/route_table.h"

namespace mesh::waypoint {

// Which waypoint this is.
struct Self {
  std::string network;
  std::string ns, service;  // of the Service in front of it
};

enum class PortProtocol : uint8_t { kDetect, kHttp, kHttp2, kTcp, kTls };

struct Frontend {
  std::string service;  // namespace/hostname
  uint16_t port = 0;
  PortProtocol protocol = PortProtocol::kDetect;
  std::shared_ptr<const route::RouteTable> routes;
  std::shared_ptr<const filter::PolicySet> policies;  // never null
  std::shared_ptr<const filter::JwtRules> tokens;     // null: none are looked for
  std::string telemetry;
};
using FrontendRef = std::shared_ptr<const Frontend>;

struct Peer {
  route::Labels labels;
  std::shared_ptr<const filter::PolicySet> policies;  // null: none
};
using PeerRef = std::shared_ptr<const Peer>;

struct Config {
  state::MeshStateRef state;
  StringMap<FrontendRef> frontends;    // by namespace/hostname/port
  StringMap<lb::ClusterRef> clusters;  // by name
  StringMap<PeerRef> peers;            // by the workload's uid

  // Null when there is none.
  FrontendRef FindFrontend(std::string_view ns, std::string_view hostname, uint16_t port) const;
  lb::ClusterRef FindCluster(std::string_view name) const;
  const Peer* FindPeer(std::string_view uid) const;
};
using ConfigRef = std::shared_ptr<const Config>;

}  // namespace mesh::waypoint
