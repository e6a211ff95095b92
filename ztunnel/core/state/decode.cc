#include "ztunnel/core/state/decode.h"

#include "proto/workload.pb.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::state {
namespace {

namespace pb = istio::workload;

template <typename E>
absl::Status UnknownEnum(std::string_view field, E value) {
  return Invalid("{} {} is unknown", field, static_cast<int>(value));
}

absl::StatusOr<IpAddress> DecodeIp(std::string_view field, const std::string& bytes) {
  const auto ip = IpAddress::FromBytes(std::string_view(bytes));
  if (!ip) return Invalid("{} has {} bytes, want 4 or 16", field, bytes.size());
  return *ip;
}

absl::StatusOr<uint16_t> DecodePort(std::string_view field, uint32_t port) {
  if (port > 65535) return Invalid("{} {} is no port", field, port);
  return static_cast<uint16_t>(port);
}

absl::StatusOr<PortMap> DecodePorts(std::string_view field,
                                    const google::protobuf::RepeatedPtrField<pb::Port>& in) {
  PortMap out;
  for (const pb::Port& port : in) {
    ASSIGN_OR_RETURN(const uint16_t service_port,
                     DecodePort(fmt::format("{}.service_port", field), port.service_port()));
    if (service_port == 0) return Invalid("{}.service_port is 0", field);
    ASSIGN_OR_RETURN(const uint16_t target_port,
                     DecodePort(fmt::format("{}.target_port", field), port.target_port()));
    out[service_port] = target_port;
  }
  return out;
}

absl::StatusOr<GatewayAddress> DecodeGateway(std::string_view field, const pb::GatewayAddress& in,
                                             TextPool& pool) {
  GatewayAddress out;
  switch (in.destination_case()) {
    case pb::GatewayAddress::kHostname:
      if (in.hostname().namespace_().empty() || in.hostname().hostname().empty()) {
        return Invalid("{}.hostname lacks its namespace or name", field);
      }
      out.destination = NamespacedHostname{pool.Intern(in.hostname().namespace_()),
                                           pool.Intern(in.hostname().hostname())};
      break;
    case pb::GatewayAddress::kAddress: {
      ASSIGN_OR_RETURN(const IpAddress ip,
                       DecodeIp(fmt::format("{}.address", field), in.address().address()));
      out.destination = NetworkAddress{pool.Intern(in.address().network()), ip};
      break;
    }
    case pb::GatewayAddress::DESTINATION_NOT_SET:
      return Invalid("{}.destination is unset", field);
  }
  ASSIGN_OR_RETURN(out.hbone_port,
                   DecodePort(fmt::format("{}.hbone_mtls_port", field), in.hbone_mtls_port()));
  return out;
}

absl::Status DecodeTunnel(const pb::Workload& in, TextPool& pool, Workload& out) {
  switch (in.tunnel_protocol()) {
    case pb::NONE:
      out.protocol = Protocol::kTcp;
      break;
    case pb::HBONE:
      out.protocol = Protocol::kHbone;
      break;
    case pb::LEGACY_ISTIO_MTLS:
      return Invalid("tunnel_protocol LEGACY_ISTIO_MTLS is not spoken by node proxies");
    default:
      return UnknownEnum("tunnel_protocol", in.tunnel_protocol());
  }
  if (in.has_waypoint()) {
    ASSIGN_OR_RETURN(out.waypoint, DecodeGateway("waypoint", in.waypoint(), pool));
  }
  if (in.has_network_gateway()) {
    ASSIGN_OR_RETURN(out.network_gateway,
                     DecodeGateway("network_gateway", in.network_gateway(), pool));
  }
  if (!in.has_application_tunnel()) return absl::OkStatus();
  const auto protocol = in.application_tunnel().protocol();
  if (!pb::ApplicationTunnel::Protocol_IsValid(protocol)) {
    return UnknownEnum("application_tunnel.protocol", protocol);
  }
  ApplicationTunnel tunnel;
  tunnel.proxy_protocol = protocol == pb::ApplicationTunnel::PROXY;
  ASSIGN_OR_RETURN(tunnel.port,
                   DecodePort("application_tunnel.port", in.application_tunnel().port()));
  out.application_tunnel = tunnel;
  return absl::OkStatus();
}

absl::Status DecodeEnums(const pb::Workload& in, Workload& out) {
  switch (in.workload_type()) {
    case pb::DEPLOYMENT:
      out.type = WorkloadType::kDeployment;
      break;
    case pb::CRONJOB:
      out.type = WorkloadType::kCronJob;
      break;
    case pb::POD:
      out.type = WorkloadType::kPod;
      break;
    case pb::JOB:
      out.type = WorkloadType::kJob;
      break;
    default:
      return UnknownEnum("workload_type", in.workload_type());
  }
  if (!pb::WorkloadStatus_IsValid(in.status())) return UnknownEnum("status", in.status());
  out.status = in.status() == pb::HEALTHY ? Health::kHealthy : Health::kUnhealthy;
  if (!pb::NetworkMode_IsValid(in.network_mode())) {
    return UnknownEnum("network_mode", in.network_mode());
  }
  out.host_network = in.network_mode() == pb::HOST_NETWORK;
  return absl::OkStatus();
}

absl::Status DecodeServices(const pb::Workload& in, TextPool& pool, Workload& out) {
  for (const auto& [key, list] : in.services()) {
    const size_t slash = key.find('/');
    if (slash == 0 || slash == std::string::npos || slash + 1 == key.size()) {
      return Invalid("services key {} is not namespace/hostname", Quoted(key));
    }
    ASSIGN_OR_RETURN(out.services[pool.Intern(key)],
                     DecodePorts(fmt::format("services[{}].ports", key), list.ports()));
  }
  return absl::OkStatus();
}

absl::StatusOr<Scope> DecodeScope(pb::LoadBalancing::Scope scope) {
  switch (scope) {
    case pb::LoadBalancing::REGION:
      return Scope::kRegion;
    case pb::LoadBalancing::ZONE:
      return Scope::kZone;
    case pb::LoadBalancing::SUBZONE:
      return Scope::kSubzone;
    case pb::LoadBalancing::NODE:
      return Scope::kNode;
    case pb::LoadBalancing::CLUSTER:
      return Scope::kCluster;
    case pb::LoadBalancing::NETWORK:
      return Scope::kNetwork;
    default:
      return UnknownEnum("load_balancing.routing_preference", scope);
  }
}

absl::Status DecodeLoadBalancing(const pb::LoadBalancing& in, Service& out) {
  for (const int scope : in.routing_preference()) {
    ASSIGN_OR_RETURN(out.routing_preference.emplace_back(),
                     DecodeScope(static_cast<pb::LoadBalancing::Scope>(scope)));
  }
  switch (in.mode()) {
    case pb::LoadBalancing::UNSPECIFIED_MODE:
      out.lb_mode = LbMode::kStandard;
      break;
    case pb::LoadBalancing::STRICT:
      out.lb_mode = LbMode::kStrict;
      break;
    case pb::LoadBalancing::FAILOVER:
      out.lb_mode = LbMode::kFailover;
      break;
    case pb::LoadBalancing::PASSTHROUGH:
      out.lb_mode = LbMode::kPassthrough;
      break;
    default:
      return UnknownEnum("load_balancing.mode", in.mode());
  }
  if (!pb::LoadBalancing::HealthPolicy_IsValid(in.health_policy())) {
    return UnknownEnum("load_balancing.health_policy", in.health_policy());
  }
  out.allow_unhealthy = in.health_policy() == pb::LoadBalancing::ALLOW_ALL;
  return absl::OkStatus();
}

absl::Status DecodeVip(const pb::NetworkAddress& in, TextPool& pool, Service& out) {
  ASSIGN_OR_RETURN(const IpAddress ip, DecodeIp("addresses.address", in.address()));
  const uint32_t bits = ip.IsV4() ? 32 : 128;
  if (!in.has_length() || in.length() == bits) {
    out.vips.push_back({pool.Intern(in.network()), ip});
    return absl::OkStatus();
  }
  if (in.length() > bits) return Invalid("addresses.length {} is over {}", in.length(), bits);
  out.cidr_vips.push_back(
      {pool.Intern(in.network()), IpPrefix{ip, static_cast<uint8_t>(in.length())}});
  return absl::OkStatus();
}

absl::Status DecodeWaypoints(const pb::Service& in, TextPool& pool, Service& out) {
  if (in.has_waypoint()) {
    ASSIGN_OR_RETURN(out.waypoint, DecodeGateway("waypoint", in.waypoint(), pool));
  }
  for (const pb::WeightedWaypoint& weighted : in.weighted_waypoints()) {
    WeightedGateway gateway;
    ASSIGN_OR_RETURN(gateway.gateway,
                     DecodeGateway("weighted_waypoints.destination", weighted.destination(), pool));
    gateway.weight = weighted.weight();
    out.weighted_waypoints.push_back(std::move(gateway));
  }
  return absl::OkStatus();
}

absl::StatusOr<IpFamilies> DecodeFamilies(pb::IPFamilies in) {
  switch (in) {
    case pb::AUTOMATIC:
      return IpFamilies::kAutomatic;
    case pb::IPV4_ONLY:
      return IpFamilies::kV4Only;
    case pb::IPV6_ONLY:
      return IpFamilies::kV6Only;
    case pb::DUAL:
      return IpFamilies::kDual;
    default:
      return UnknownEnum("ip_families", in);
  }
}

std::string_view OrElse(std::string_view value, std::string_view otherwise) {
  return value.empty() ? otherwise : value;
}

}  // namespace

absl::StatusOr<Workload> DecodeWorkload(const pb::Workload& in, TextPool& pool) {
  if (in.uid().empty()) return Invalid("uid is empty");
  Workload out;
  out.uid = in.uid();
  out.name = TextTail(out.uid, in.name());
  out.ns = pool.Intern(in.namespace_());
  for (const std::string& bytes : in.addresses()) {
    ASSIGN_OR_RETURN(out.addresses.emplace_back(), DecodeIp("addresses", bytes));
  }
  out.hostname = pool.Intern(in.hostname());
  out.network = pool.Intern(in.network());
  out.trust_domain = pool.Intern(OrElse(in.trust_domain(), "cluster.local"));
  out.service_account = pool.Intern(OrElse(in.service_account(), "default"));
  RETURN_IF_ERROR(DecodeTunnel(in, pool, out));
  out.node = pool.Intern(in.node());
  out.canonical_name = pool.Intern(in.canonical_name());
  out.canonical_revision = pool.Intern(in.canonical_revision());
  out.workload_name = pool.Intern(in.workload_name());
  out.native_tunnel = in.native_tunnel();
  RETURN_IF_ERROR(DecodeEnums(in, out));
  RETURN_IF_ERROR(DecodeServices(in, pool, out));
  out.authorization_policies.reserve(in.authorization_policies_size());
  for (const std::string& key : in.authorization_policies()) {
    out.authorization_policies.push_back(pool.Intern(key));
  }
  out.cluster_id = pool.Intern(OrElse(in.cluster_id(), "Kubernetes"));
  out.locality = {pool.Intern(in.locality().region()), pool.Intern(in.locality().zone()),
                  pool.Intern(in.locality().subzone())};
  out.capacity = in.has_capacity() ? in.capacity().value() : 1;
  return out;
}

absl::StatusOr<Service> DecodeService(const pb::Service& in, TextPool& pool) {
  if (in.namespace_().empty()) return Invalid("namespace is empty");
  // The resource is known as namespace/hostname, and the first '/' parts them.
  if (in.namespace_().find('/') != std::string::npos) {
    return Invalid("namespace {} holds a '/'", Quoted(in.namespace_()));
  }
  if (in.hostname().empty()) return Invalid("hostname is empty");
  Service out;
  out.name = pool.Intern(in.name());
  out.ns = pool.Intern(in.namespace_());
  out.hostname = pool.Intern(in.hostname());
  for (const pb::NetworkAddress& address : in.addresses())
    RETURN_IF_ERROR(DecodeVip(address, pool, out));
  ASSIGN_OR_RETURN(out.ports, DecodePorts("ports", in.ports()));
  for (const std::string& name : in.subject_alt_names()) {
    out.subject_alt_names.push_back(pool.Intern(name));
  }
  RETURN_IF_ERROR(DecodeWaypoints(in, pool, out));
  if (in.has_load_balancing()) RETURN_IF_ERROR(DecodeLoadBalancing(in.load_balancing(), out));
  ASSIGN_OR_RETURN(out.ip_families, DecodeFamilies(in.ip_families()));
  out.canonical = in.canonical();
  if (!pb::Service::Visibility_IsValid(in.visibility())) {
    return UnknownEnum("visibility", in.visibility());
  }
  out.namespace_private = in.visibility() == pb::Service::NAMESPACE;
  return out;
}

}  // namespace mesh::state
