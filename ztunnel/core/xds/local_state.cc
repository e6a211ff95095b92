#include "ztunnel/core/xds/local_state.h"

#include <charconv>
#include <optional>

#include "proto/authorization.pb.h"
#include "proto/workload.pb.h"
#include "ztunnel/base/ip.h"
#include "ztunnel/base/yaml.h"
#include "ztunnel/core/xds/local_object.h"
#include "ztunnel/core/xds/local_policy.h"

namespace mesh::xds {
namespace {

namespace wl = istio::workload;
using Value = google::protobuf::Value;

constexpr std::pair<const char*, wl::TunnelProtocol> kProtocols[] = {{"TCP", wl::NONE},
                                                                     {"HBONE", wl::HBONE}};
constexpr std::pair<const char*, wl::NetworkMode> kNetworkModes[] = {
    {"Standard", wl::STANDARD}, {"HostNetwork", wl::HOST_NETWORK}};
constexpr std::pair<const char*, wl::WorkloadType> kTypes[] = {
    {"deployment", wl::DEPLOYMENT}, {"cronjob", wl::CRONJOB}, {"pod", wl::POD}, {"job", wl::JOB}};
constexpr std::pair<const char*, wl::WorkloadStatus> kHealth[] = {{"Healthy", wl::HEALTHY},
                                                                  {"Unhealthy", wl::UNHEALTHY}};
constexpr std::pair<const char*, wl::ApplicationTunnel::Protocol> kTunnels[] = {
    {"NONE", wl::ApplicationTunnel::NONE}, {"PROXY", wl::ApplicationTunnel::PROXY}};
constexpr std::pair<const char*, wl::LoadBalancing::Scope> kScopes[] = {
    {"Region", wl::LoadBalancing::REGION},   {"Zone", wl::LoadBalancing::ZONE},
    {"Subzone", wl::LoadBalancing::SUBZONE}, {"Node", wl::LoadBalancing::NODE},
    {"Cluster", wl::LoadBalancing::CLUSTER}, {"Network", wl::LoadBalancing::NETWORK}};
constexpr std::pair<const char*, wl::LoadBalancing::Mode> kModes[] = {
    {"Standard", wl::LoadBalancing::UNSPECIFIED_MODE},
    {"Strict", wl::LoadBalancing::STRICT},
    {"Failover", wl::LoadBalancing::FAILOVER},
    {"Passthrough", wl::LoadBalancing::PASSTHROUGH}};
constexpr std::pair<const char*, wl::LoadBalancing::HealthPolicy> kHealthPolicies[] = {
    {"OnlyHealthy", wl::LoadBalancing::ONLY_HEALTHY}, {"AllowAll", wl::LoadBalancing::ALLOW_ALL}};
constexpr std::pair<const char*, wl::IPFamilies> kFamilies[] = {{"Automatic", wl::AUTOMATIC},
                                                                {"IPv4", wl::IPV4_ONLY},
                                                                {"IPv6", wl::IPV6_ONLY},
                                                                {"Dual", wl::DUAL}};
constexpr std::pair<const char*, wl::Service::Visibility> kVisibilities[] = {
    {"Public", wl::Service::PUBLIC}, {"Namespace", wl::Service::NAMESPACE}};

std::pair<std::string, std::string> Split(const std::string& text) {
  const size_t slash = text.find('/');
  if (slash == std::string::npos) return {"", text};
  return {text.substr(0, slash), text.substr(slash + 1)};
}

template <typename Ports>
void ReadPorts(LocalObject& in, const std::string& key, const Value& value, Ports& out) {
  if (value.kind_case() != Value::kStructValue) return in.Fail(key, "is no object of ports");
  for (const auto& [text, target] : value.struct_value().fields()) {
    uint16_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) {
      return in.Fail(key, Quoted(text) + " is no port");
    }
    auto& port = *out.add_ports();
    port.set_service_port(number);
    port.set_target_port(in.NumberOf(target, key, 65'535));
  }
}

// "network/address", or "namespace/hostname".
void ReadGateway(LocalObject& in, wl::GatewayAddress& out) {
  const auto [first, second] = Split(in.Text("destination"));
  if (const auto ip = IpAddress::Parse(second)) {
    out.mutable_address()->set_network(first);
    out.mutable_address()->set_address(ip->ToBytes());
  } else {
    out.mutable_hostname()->set_namespace_(first);
    out.mutable_hostname()->set_hostname(second);
  }
  out.set_hbone_mtls_port(in.Number("hboneMtlsPort", 65'535));
}

void ReadPlace(LocalObject& in, wl::Workload& out) {
  in.Object("waypoint", [&](LocalObject& o) { ReadGateway(o, *out.mutable_waypoint()); });
  in.Object("networkGateway",
            [&](LocalObject& o) { ReadGateway(o, *out.mutable_network_gateway()); });
  in.Object("locality", [&](LocalObject& o) {
    out.mutable_locality()->set_region(o.Text("region"));
    out.mutable_locality()->set_zone(o.Text("zone"));
    out.mutable_locality()->set_subzone(o.Text("subzone"));
  });
  in.Object("applicationTunnel", [&](LocalObject& o) {
    out.mutable_application_tunnel()->set_protocol(o.Word("protocol", kTunnels));
    out.mutable_application_tunnel()->set_port(o.Number("port", 65'535));
  });
  in.EachMember("services", [&](const std::string& name, const Value& ports) {
    ReadPorts(in, "services." + name, ports, (*out.mutable_services())[name]);
  });
}

void ReadWorkload(LocalObject& in, const std::string& cluster_id, wl::Workload& out) {
  in.EachText("workloadIps", [&](const std::string& text, const std::string& at) {
    const auto ip = IpAddress::Parse(text);
    if (!ip) return in.Fail(at, Quoted(text) + " is no address");
    out.add_addresses(ip->ToBytes());
  });
  out.set_name(in.Text("name"));
  out.set_namespace_(in.Text("namespace"));
  out.set_uid(in.Text("uid"));
  out.set_cluster_id(in.Text("clusterId"));
  if (out.cluster_id().empty()) out.set_cluster_id(cluster_id);
  if (out.uid().empty()) {
    out.set_uid(state::PodUid(out.cluster_id(), out.namespace_(), out.name()));
  }
  out.set_tunnel_protocol(in.Word("protocol", kProtocols));
  out.set_network_mode(in.Word("networkMode", kNetworkModes));
  out.set_trust_domain(in.Text("trustDomain"));
  out.set_service_account(in.Text("serviceAccount"));
  out.set_network(in.Text("network"));
  out.set_workload_name(in.Text("workloadName"));
  out.set_workload_type(in.Word("workloadType", kTypes));
  out.set_canonical_name(in.Text("canonicalName"));
  out.set_canonical_revision(in.Text("canonicalRevision"));
  out.set_hostname(in.Text("hostname"));
  out.set_node(in.Text("node"));
  out.set_native_tunnel(in.Bool("nativeTunnel"));
  in.EachText("authorizationPolicies", [&](const std::string& text, const std::string&) {
    out.add_authorization_policies(text);
  });
  out.set_status(in.Word("status", kHealth));
  if (const Value* capacity = in.Take("capacity")) {
    out.mutable_capacity()->set_value(in.NumberOf(*capacity, "capacity", 0xffffffff));
  }
  ReadPlace(in, out);
}

void ReadVips(LocalObject& in, wl::Service& out) {
  in.EachText("vips", [&](const std::string& text, const std::string& at) {
    const auto [network, address] = Split(text);
    const auto ip = IpAddress::Parse(address);
    if (!ip) return in.Fail(at, Quoted(text) + " is no network/address");
    out.add_addresses()->set_network(network);
    out.mutable_addresses()->rbegin()->set_address(ip->ToBytes());
  });
  in.Each("cidrVips", [&](const Value& value, const std::string& at) {
    LocalObject o(value, in.PathOf(at), in.errors());
    wl::NetworkAddress& vip = *out.add_addresses();
    vip.set_network(o.Text("network"));
    const auto prefix = IpPrefix::Parse(o.Text("cidr"));
    if (!prefix) return o.Fail("cidr", "is no address/length");
    vip.set_address(prefix->address.ToBytes());
    vip.set_length(prefix->length);
  });
}

void ReadService(LocalObject& in, wl::Service& out) {
  out.set_name(in.Text("name"));
  out.set_namespace_(in.Text("namespace"));
  out.set_hostname(in.Text("hostname"));
  ReadVips(in, out);
  if (const Value* ports = in.Take("ports")) ReadPorts(in, "ports", *ports, out);
  in.Take("endpoints");
  in.EachText("subjectAltNames", [&](const std::string& text, const std::string&) {
    out.add_subject_alt_names(text);
  });
  in.Object("waypoint", [&](LocalObject& o) { ReadGateway(o, *out.mutable_waypoint()); });
  in.Each("weightedWaypoints", [&](const Value& value, const std::string& at) {
    LocalObject o(value, in.PathOf(at), in.errors());
    wl::WeightedWaypoint& weighted = *out.add_weighted_waypoints();
    o.Object("waypoint", [&](LocalObject& w) { ReadGateway(w, *weighted.mutable_destination()); });
    weighted.set_weight(o.Number("weight", 1'000'000));
  });
  in.Object("loadBalancer", [&](LocalObject& o) {
    wl::LoadBalancing& balancing = *out.mutable_load_balancing();
    o.Each("routingPreferences", [&](const Value& value, const std::string& at) {
      balancing.add_routing_preference(o.WordOf(value, at, kScopes));
    });
    balancing.set_mode(o.Word("mode", kModes));
    balancing.set_health_policy(o.Word("healthPolicy", kHealthPolicies));
  });
  out.set_ip_families(in.Word("ipFamilies", kFamilies));
  out.set_canonical(in.Bool("canonical"));
  out.set_visibility(in.Word("visibility", kVisibilities));
}

void Store(LocalObject& in, const std::string& at, const absl::Status& status) {
  if (!status.ok()) in.Fail(at, MessageOf(status));
}

void ReadAll(LocalObject& in, const std::string& cluster_id, state::StateStore& store) {
  const auto each = [&](const char* list, auto read) {
    in.Each(list, [&](const Value& value, const std::string& at) {
      LocalObject o(value, at, in.errors());
      read(o, at);
    });
  };
  each("policies", [&](LocalObject& o, const std::string& at) {
    istio::security::Authorization policy;
    ReadLocalPolicy(o, policy);
    Store(in, at, store.UpsertPolicy("", policy));
  });
  each("services", [&](LocalObject& o, const std::string& at) {
    wl::Address address;
    ReadService(o, *address.mutable_service());
    Store(in, at, store.UpsertAddress("", address));
  });
  each("workloads", [&](LocalObject& o, const std::string& at) {
    wl::Address address;
    ReadWorkload(o, cluster_id, *address.mutable_workload());
    Store(in, at, store.UpsertAddress("", address));
  });
}

}  // namespace

absl::Status LoadLocalState(std::string_view text, const std::string& cluster_id,
                            state::StateStore& store) {
  const std::vector<YamlDocument> documents = ReadYaml(text);
  if (documents.empty()) return absl::OkStatus();
  if (documents.size() > 1) return Invalid("more than one document");
  if (!documents.front().status.ok()) return documents.front().status;
  LocalErrors errors;
  {
    LocalObject all(documents.front().value, "", errors);
    ReadAll(all, cluster_id, store);
  }
  return errors.status();
}

}  // namespace mesh::xds
