// What a node proxy knows of workloads and services: plain values, decoded and checked once.
#pragma once

#include <absl/container/inlined_vector.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "ztunnel/base/ip.h"
#include "ztunnel/core/identity/identity.h"
#include "ztunnel/core/state/small.h"
#include "ztunnel/core/state/text.h"

namespace mesh::state {

enum class Protocol : uint8_t { kTcp, kHbone };
enum class Health : uint8_t { kHealthy, kUnhealthy };
enum class Scope : uint8_t { kRegion, kZone, kSubzone, kNode, kCluster, kNetwork };
enum class LbMode : uint8_t { kStandard, kStrict, kFailover, kPassthrough };
enum class IpFamilies : uint8_t { kAutomatic, kV4Only, kV6Only, kDual };
enum class WorkloadType : uint8_t { kDeployment, kCronJob, kPod, kJob };

struct NetworkAddress {
  Text network;
  IpAddress ip;
  auto operator<=>(const NetworkAddress&) const = default;
  std::string ToString() const { return fmt::format("{}/{}", network, ip.ToString()); }
};

struct NamespacedHostname {
  Text ns;
  Text hostname;
  auto operator<=>(const NamespacedHostname&) const = default;
  std::string ToString() const { return fmt::format("{}/{}", ns, hostname); }
};

struct GatewayAddress {
  std::variant<NamespacedHostname, NetworkAddress> destination;
  uint16_t hbone_port = 0;
  std::string DestinationString() const;
  auto operator<=>(const GatewayAddress&) const = default;
};

struct WeightedGateway {
  GatewayAddress gateway;
  uint32_t weight = 0;
};

struct Locality {
  Text region, zone, subzone;
  bool operator==(const Locality&) const = default;
};

struct ApplicationTunnel {
  bool proxy_protocol = false;
  uint16_t port = 0;  // 0: the target port
};

// Service port -> target port; 0: named, per endpoint.
using PortMap = SmallMap<uint16_t, uint16_t, 4>;

// There may be 100,000 of these: what is the same in many is shared, what is rare is boxed.
struct Workload {
  Text uid;
  TextTail name;
  Text ns;
  absl::InlinedVector<IpAddress, 1> addresses;
  Text hostname;  // resolve at connect time when `addresses` is empty
  Text network;
  Text trust_domain = "cluster.local";
  Text service_account = "default";
  Boxed<GatewayAddress> waypoint;
  Boxed<GatewayAddress> network_gateway;
  Text node;
  Text canonical_name;
  Text canonical_revision;
  Text workload_name;
  Text cluster_id = "Kubernetes";
  Locality locality;
  SmallMap<Text, PortMap, 1> services;  // namespace/hostname -> ports of this endpoint
  std::vector<Text> authorization_policies;
  uint32_t capacity = 1;
  std::optional<ApplicationTunnel> application_tunnel;
  Protocol protocol = Protocol::kTcp;
  WorkloadType type = WorkloadType::kDeployment;
  Health status = Health::kHealthy;
  bool native_tunnel = false;
  bool host_network = false;

  identity::Identity Identity() const {
    return {trust_domain.str(), ns.str(), service_account.str()};
  }
};

struct Service {
  Text name;
  Text ns;
  Text hostname;
  std::vector<NetworkAddress> vips;
  struct CidrVip {
    Text network;
    IpPrefix prefix;
  };
  std::vector<CidrVip> cidr_vips;
  PortMap ports;
  std::vector<Text> subject_alt_names;
  Boxed<GatewayAddress> waypoint;
  std::vector<WeightedGateway> weighted_waypoints;
  std::vector<Scope> routing_preference;
  LbMode lb_mode = LbMode::kStandard;
  bool allow_unhealthy = false;
  IpFamilies ip_families = IpFamilies::kAutomatic;
  bool canonical = false;
  bool namespace_private = false;  // visibility NAMESPACE

  std::string Key() const { return fmt::format("{}/{}", ns, hostname); }
};

using WorkloadRef = std::shared_ptr<const Workload>;
using ServiceRef = std::shared_ptr<const Service>;

// One endpoint of a service: the workload and what it maps of the service's ports.
struct Endpoint {
  WorkloadRef workload;
  const PortMap* mapped = nullptr;  // within the workload

  const PortMap& ports() const { return *mapped; }
};

}  // namespace mesh::state
