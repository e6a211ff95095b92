// What a node proxy knows of workloads and services: plain values, decoded and checked once.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "ztunnel/base/ip.h"
#include "ztunnel/core/identity/identity.h"

namespace mesh::state {

enum class Protocol { kTcp, kHbone };
enum class Health { kHealthy, kUnhealthy };
enum class Scope { kRegion, kZone, kSubzone, kNode, kCluster, kNetwork };
enum class LbMode { kStandard, kStrict, kFailover, kPassthrough };
enum class IpFamilies { kAutomatic, kV4Only, kV6Only, kDual };
enum class WorkloadType { kDeployment, kCronJob, kPod, kJob };

struct NetworkAddress {
  std::string network;
  IpAddress ip;
  auto operator<=>(const NetworkAddress&) const = default;
  std::string ToString() const { return network + "/" + ip.ToString(); }
};

struct NamespacedHostname {
  std::string ns;
  std::string hostname;
  auto operator<=>(const NamespacedHostname&) const = default;
  std::string ToString() const { return ns + "/" + hostname; }
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
  std::string region, zone, subzone;
};

struct ApplicationTunnel {
  bool proxy_protocol = false;
  uint16_t port = 0;  // 0: the target port
};

using PortMap =
    std::map<uint16_t, uint16_t>;  // service port -> target port; 0: named, per endpoint

struct Workload {
  std::string uid;
  std::string name;
  std::string ns;
  std::vector<IpAddress> addresses;
  std::string hostname;  // resolve at connect time when `addresses` is empty
  std::string network;
  Protocol protocol = Protocol::kTcp;
  std::string trust_domain = "cluster.local";
  std::string service_account = "default";
  std::optional<GatewayAddress> waypoint;
  std::optional<GatewayAddress> network_gateway;
  std::string node;
  std::string canonical_name;
  std::string canonical_revision;
  WorkloadType type = WorkloadType::kDeployment;
  std::string workload_name;
  bool native_tunnel = false;
  bool host_network = false;
  std::optional<ApplicationTunnel> application_tunnel;
  std::map<std::string, PortMap> services;  // namespace/hostname -> ports of this endpoint
  std::vector<std::string> authorization_policies;
  Health status = Health::kHealthy;
  std::string cluster_id = "Kubernetes";
  Locality locality;
  uint32_t capacity = 1;

  identity::Identity Identity() const { return {trust_domain, ns, service_account}; }
};

struct Service {
  std::string name;
  std::string ns;
  std::string hostname;
  std::vector<NetworkAddress> vips;
  struct CidrVip {
    std::string network;
    IpPrefix prefix;
  };
  std::vector<CidrVip> cidr_vips;
  PortMap ports;
  std::vector<std::string> subject_alt_names;
  std::optional<GatewayAddress> waypoint;
  std::vector<WeightedGateway> weighted_waypoints;
  std::vector<Scope> routing_preference;
  LbMode lb_mode = LbMode::kStandard;
  bool allow_unhealthy = false;
  IpFamilies ip_families = IpFamilies::kAutomatic;
  bool canonical = false;
  bool namespace_private = false;  // visibility NAMESPACE

  std::string Key() const { return ns + "/" + hostname; }
};

using WorkloadRef = std::shared_ptr<const Workload>;
using ServiceRef = std::shared_ptr<const Service>;

// One endpoint of a service: the workload and what it maps of the service's ports.
struct Endpoint {
  WorkloadRef workload;
  PortMap ports;
};

}  // namespace mesh::state
