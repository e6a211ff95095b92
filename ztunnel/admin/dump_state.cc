// Workloads, services and policies in the dump's words.
#include "proto/authorization.pb.h"
#include "ztunnel/admin/config_dump.h"
#include "ztunnel/core/authz/policy.h"

namespace mesh::admin {
namespace {

namespace security = istio::security;
using state::Health;

const char* HealthName(Health health) {
  return health == Health::kHealthy ? "Healthy" : "Unhealthy";
}

const char* TypeName(state::WorkloadType type) {
  switch (type) {
    case state::WorkloadType::kDeployment:
      return "deployment";
    case state::WorkloadType::kCronJob:
      return "cronjob";
    case state::WorkloadType::kPod:
      return "pod";
    case state::WorkloadType::kJob:
      return "job";
  }
  return "deployment";
}

const char* ScopeName(state::Scope scope) {
  switch (scope) {
    case state::Scope::kRegion:
      return "Region";
    case state::Scope::kZone:
      return "Zone";
    case state::Scope::kSubzone:
      return "Subzone";
    case state::Scope::kNode:
      return "Node";
    case state::Scope::kCluster:
      return "Cluster";
    case state::Scope::kNetwork:
      return "Network";
  }
  return "";
}

const char* ModeName(state::LbMode mode) {
  switch (mode) {
    case state::LbMode::kStandard:
      return "Standard";
    case state::LbMode::kStrict:
      return "Strict";
    case state::LbMode::kFailover:
      return "Failover";
    case state::LbMode::kPassthrough:
      return "Passthrough";
  }
  return "Standard";
}

void WriteGateway(JsonWriter& json, const state::GatewayAddress& gateway) {
  json.BeginObject();
  json.Member("destination", gateway.DestinationString());
  json.Member("hboneMtlsPort", int{gateway.hbone_port});
  json.EndObject();
}

void WriteStrings(JsonWriter& json, const std::vector<state::Text>& values) {
  json.BeginArray();
  for (const auto& value : values) json.String(value);
  json.EndArray();
}

void WritePorts(JsonWriter& json, const state::PortMap& ports) {
  json.BeginObject();
  for (const auto& [port, target] : ports) json.Member(std::to_string(port), int{target});
  json.EndObject();
}

void WriteLoadBalancer(JsonWriter& json, const state::Service& service) {
  json.BeginObject();
  json.Key("routingPreferences");
  json.BeginArray();
  for (const auto scope : service.routing_preference) json.String(ScopeName(scope));
  json.EndArray();
  json.Member("mode", ModeName(service.lb_mode));
  json.Member("healthPolicy", service.allow_unhealthy ? "AllowAll" : "OnlyHealthy");
  json.EndObject();
}

void WriteMatches(JsonWriter& json, const char* key, const auto& values, auto write) {
  if (values.empty()) return;
  json.Key(key);
  json.BeginArray();
  for (const auto& value : values) write(value);
  json.EndArray();
}

void WriteMatch(JsonWriter& json, const security::Match& match) {
  const auto text = [&](const security::StringMatch& m) {
    json.BeginObject();
    switch (m.match_type_case()) {
      case security::StringMatch::kExact:
        json.Member("Exact", m.exact());
        break;
      case security::StringMatch::kPrefix:
        json.Member("Prefix", m.prefix());
        break;
      case security::StringMatch::kSuffix:
        json.Member("Suffix", m.suffix());
        break;
      default:
        json.Key("Presence");
        json.BeginArray();
        json.EndArray();
    }
    json.EndObject();
  };
  const auto address = [&](const security::Address& a) {
    const auto ip = IpAddress::FromBytes(a.address());
    json.String((ip ? ip->ToString() : "invalid") + "/" + std::to_string(a.length()));
  };
  const auto port = [&](uint32_t p) { json.Number(p); };
  const auto account = [&](const security::ServiceAccountMatch& m) {
    json.BeginObject();
    json.Member("namespace", m.namespace_());
    json.Member("serviceAccount", m.serviceaccount());
    json.EndObject();
  };
  json.BeginObject();
  WriteMatches(json, "namespaces", match.namespaces(), text);
  WriteMatches(json, "notNamespaces", match.not_namespaces(), text);
  WriteMatches(json, "serviceAccounts", match.service_accounts(), account);
  WriteMatches(json, "notServiceAccounts", match.not_service_accounts(), account);
  WriteMatches(json, "principals", match.principals(), text);
  WriteMatches(json, "notPrincipals", match.not_principals(), text);
  WriteMatches(json, "sourceIps", match.source_ips(), address);
  WriteMatches(json, "notSourceIps", match.not_source_ips(), address);
  WriteMatches(json, "destinationIps", match.destination_ips(), address);
  WriteMatches(json, "notDestinationIps", match.not_destination_ips(), address);
  WriteMatches(json, "destinationPorts", match.destination_ports(), port);
  WriteMatches(json, "notDestinationPorts", match.not_destination_ports(), port);
  json.EndObject();
}

}  // namespace

void WriteWorkload(JsonWriter& json, const state::Workload& w) {
  json.BeginObject();
  json.Key("workloadIps");
  json.BeginArray();
  for (const auto& ip : w.addresses) json.String(ip.ToString());
  json.EndArray();
  if (w.waypoint) json.Key("waypoint"), WriteGateway(json, *w.waypoint);
  if (w.network_gateway) json.Key("networkGateway"), WriteGateway(json, *w.network_gateway);
  json.Member("protocol", w.protocol == state::Protocol::kHbone ? "HBONE" : "TCP");
  json.Member("networkMode", w.host_network ? "HostNetwork" : "Standard");
  json.Member("uid", w.uid);
  json.Member("name", w.name);
  json.Member("namespace", w.ns);
  json.MemberIfAny("trustDomain", w.trust_domain);
  json.MemberIfAny("serviceAccount", w.service_account);
  json.MemberIfAny("network", w.network);
  json.MemberIfAny("workloadName", w.workload_name);
  json.Member("workloadType", TypeName(w.type));
  json.MemberIfAny("canonicalName", w.canonical_name);
  json.MemberIfAny("canonicalRevision", w.canonical_revision);
  json.MemberIfAny("hostname", w.hostname);
  json.MemberIfAny("node", w.node);
  if (w.native_tunnel) json.Member("nativeTunnel", true);
  if (w.application_tunnel) {
    json.Key("applicationTunnel");
    json.BeginObject();
    json.Member("protocol", w.application_tunnel->proxy_protocol ? "PROXY" : "NONE");
    if (w.application_tunnel->port != 0) json.Member("port", int{w.application_tunnel->port});
    json.EndObject();
  }
  if (!w.authorization_policies.empty()) {
    json.Key("authorizationPolicies");
    WriteStrings(json, w.authorization_policies);
  }
  json.Member("status", HealthName(w.status));
  json.Member("clusterId", w.cluster_id);
  if (!w.locality.region.empty()) {
    json.Key("locality");
    json.BeginObject();
    json.Member("region", w.locality.region);
    json.MemberIfAny("zone", w.locality.zone);
    json.MemberIfAny("subzone", w.locality.subzone);
    json.EndObject();
  }
  if (!w.services.empty()) {
    json.Key("services");
    json.BeginArray();
    for (const auto& [service, ports] : w.services) json.String(service);
    json.EndArray();
  }
  json.Member("capacity", static_cast<int64_t>(w.capacity));
  json.EndObject();
}

void WriteService(JsonWriter& json, const state::MeshState& mesh, const state::Service& s) {
  json.BeginObject();
  json.Member("name", s.name);
  json.Member("namespace", s.ns);
  json.Member("hostname", s.hostname);
  json.Key("vips");
  json.BeginArray();
  for (const auto& vip : s.vips) json.String(vip.ToString());
  json.EndArray();
  if (!s.cidr_vips.empty()) {
    json.Key("cidrVips");
    json.BeginArray();
    for (const auto& vip : s.cidr_vips) {
      json.BeginObject();
      json.Member("network", vip.network);
      json.Member("cidr", vip.prefix.ToString());
      json.EndObject();
    }
    json.EndArray();
  }
  json.Key("ports");
  WritePorts(json, s.ports);
  json.Key("endpoints");
  json.BeginObject();
  for (const auto& endpoint : mesh.Endpoints(s)) {
    json.Key(endpoint.workload->uid);
    json.BeginObject();
    json.Member("workloadUid", endpoint.workload->uid);
    json.Key("port");
    WritePorts(json, endpoint.ports());
    json.Member("status", HealthName(endpoint.workload->status));
    json.EndObject();
  }
  json.EndObject();
  json.Key("subjectAltNames");
  WriteStrings(json, s.subject_alt_names);
  if (s.waypoint) json.Key("waypoint"), WriteGateway(json, *s.waypoint);
  if (!s.weighted_waypoints.empty()) {
    json.Key("weightedWaypoints");
    json.BeginArray();
    for (const auto& weighted : s.weighted_waypoints) {
      json.BeginObject();
      json.Key("waypoint");
      WriteGateway(json, weighted.gateway);
      json.Member("weight", static_cast<int64_t>(weighted.weight));
      json.EndObject();
    }
    json.EndArray();
  }
  if (s.lb_mode != state::LbMode::kStandard || !s.routing_preference.empty() || s.allow_unhealthy) {
    json.Key("loadBalancer");
    WriteLoadBalancer(json, s);
  }
  switch (s.ip_families) {
    case state::IpFamilies::kAutomatic:
      break;
    case state::IpFamilies::kV4Only:
      json.Member("ipFamilies", "IPv4");
      break;
    case state::IpFamilies::kV6Only:
      json.Member("ipFamilies", "IPv6");
      break;
    case state::IpFamilies::kDual:
      json.Member("ipFamilies", "Dual");
      break;
  }
  json.Member("canonical", s.canonical);
  if (s.namespace_private) json.Member("visibility", "Namespace");
  json.EndObject();
}

void WritePolicy(JsonWriter& json, const authz::Policy& policy) {
  const security::Authorization& a = authz::SourceOf(policy);
  json.BeginObject();
  json.Member("name", a.name());
  json.Member("namespace", a.namespace_());
  switch (a.scope()) {
    case security::NAMESPACE:
      json.Member("scope", "Namespace");
      break;
    case security::WORKLOAD_SELECTOR:
      json.Member("scope", "WorkloadSelector");
      break;
    default:
      json.Member("scope", "Global");
      break;
  }
  json.Member("action", a.action() == security::DENY ? "Deny" : "Allow");
  json.Key("rules");
  json.BeginArray();
  for (const auto& group : a.groups()) {
    json.BeginArray();
    for (const auto& rule : group.rules()) {
      json.BeginArray();
      for (const auto& match : rule.matches()) WriteMatch(json, match);
      json.EndArray();
    }
    json.EndArray();
  }
  json.EndArray();
  json.Member("dryRun", a.dry_run());
  json.EndObject();
}

}  // namespace mesh::admin
