// Everything that the dump of a workload, service, policy, certificate or connection may hold has
// the key and the shape that istioctl and Kiali look for.
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <set>

#include "proto/authorization.pb.h"
#include "proto/workload.pb.h"
#include "ztunnel/admin/config_dump.h"
#include "ztunnel/core/authz/policy.h"
#include "ztunnel/core/identity/local_authority.h"

namespace mesh::admin {
namespace {

using google::protobuf::Struct;
using google::protobuf::Value;

Struct Parse(const std::string& text) {
  Struct out;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(text, &out).ok()) << text;
  return out;
}

std::set<std::string> Keys(const Struct& s) {
  std::set<std::string> keys;
  for (const auto& [key, value] : s.fields()) keys.insert(key);
  return keys;
}

// The value at "a|b|0|c" as JSON without white space.
std::string At(const Struct& root, const std::string& path) {
  Value value;
  *value.mutable_struct_value() = root;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('|', begin), path.size());
    const std::string part = path.substr(begin, end - begin);
    Value next;
    if (value.has_list_value()) {
      next = value.list_value().values(std::stoi(part));
    } else {
      const auto it = value.struct_value().fields().find(part);
      if (it == value.struct_value().fields().end()) return "no " + part;
      next = it->second;
    }
    value = next;
    begin = end + 1;
  }
  std::string text;
  EXPECT_TRUE(google::protobuf::util::MessageToJsonString(value, &text).ok());
  return text;
}

void SetGateway(istio::workload::GatewayAddress& gateway, bool by_name) {
  if (by_name) {
    gateway.mutable_hostname()->set_namespace_("default");
    gateway.mutable_hostname()->set_hostname("waypoint.default");
  } else {
    gateway.mutable_address()->set_network("net");
    gateway.mutable_address()->set_address(IpAddress::Parse("10.0.0.9")->ToBytes());
  }
  gateway.set_hbone_mtls_port(15008);
}

istio::workload::Address FullWorkload() {
  namespace pb = istio::workload;
  pb::Address address;
  pb::Workload& w = *address.mutable_workload();
  w.set_uid("Kubernetes//Pod/default/a");
  w.set_name("a");
  w.set_namespace_("default");
  w.add_addresses(IpAddress::Parse("10.0.0.1")->ToBytes());
  w.add_addresses(IpAddress::Parse("fd00::1")->ToBytes());
  w.set_hostname("a.example");
  w.set_network("net");
  w.set_tunnel_protocol(pb::HBONE);
  w.set_trust_domain("td");
  w.set_service_account("sa");
  SetGateway(*w.mutable_waypoint(), false);
  SetGateway(*w.mutable_network_gateway(), true);
  w.set_node("node");
  w.set_canonical_name("a");
  w.set_canonical_revision("v1");
  w.set_workload_type(pb::CRONJOB);
  w.set_workload_name("a");
  w.set_native_tunnel(true);
  w.mutable_application_tunnel()->set_protocol(pb::ApplicationTunnel::PROXY);
  w.mutable_application_tunnel()->set_port(15088);
  auto& port = *(*w.mutable_services())["default/a.default"].add_ports();
  port.set_service_port(80);
  port.set_target_port(8080);
  w.add_authorization_policies("default/p");
  w.set_status(pb::UNHEALTHY);
  w.set_cluster_id("Kubernetes");
  w.mutable_locality()->set_region("r");
  w.mutable_locality()->set_zone("z");
  w.mutable_locality()->set_subzone("s");
  w.set_network_mode(pb::HOST_NETWORK);
  w.mutable_capacity()->set_value(7);
  return address;
}

istio::workload::Address FullService() {
  namespace pb = istio::workload;
  pb::Address address;
  pb::Service& s = *address.mutable_service();
  s.set_name("a");
  s.set_namespace_("default");
  s.set_hostname("a.default");
  auto& vip = *s.add_addresses();
  vip.set_network("net");
  vip.set_address(IpAddress::Parse("172.30.0.1")->ToBytes());
  auto& range = *s.add_addresses();
  range.set_network("net");
  range.set_address(IpAddress::Parse("172.31.0.0")->ToBytes());
  range.set_length(24);
  s.add_ports()->set_service_port(80);
  s.mutable_ports(0)->set_target_port(8080);
  s.add_subject_alt_names("spiffe://td/ns/default/sa/sa");
  SetGateway(*s.mutable_waypoint(), true);
  auto& weighted = *s.add_weighted_waypoints();
  SetGateway(*weighted.mutable_destination(), true);
  weighted.set_weight(20);
  auto& balancing = *s.mutable_load_balancing();
  balancing.add_routing_preference(pb::LoadBalancing::REGION);
  balancing.set_mode(pb::LoadBalancing::FAILOVER);
  balancing.set_health_policy(pb::LoadBalancing::ALLOW_ALL);
  s.set_ip_families(pb::DUAL);
  s.set_canonical(true);
  s.set_visibility(pb::Service::NAMESPACE);
  return address;
}

istio::security::Authorization FullPolicy() {
  namespace pb = istio::security;
  pb::Authorization policy;
  policy.set_name("p");
  policy.set_namespace_("default");
  policy.set_scope(pb::WORKLOAD_SELECTOR);
  policy.set_action(pb::DENY);
  policy.set_dry_run(true);
  auto& match = *policy.add_groups()->add_rules()->add_matches();
  match.add_namespaces()->set_exact("e");
  match.add_not_namespaces()->set_prefix("p");
  match.add_principals()->set_suffix("s");
  match.add_not_principals()->mutable_presence();
  match.add_service_accounts()->set_namespace_("default");
  match.mutable_service_accounts(0)->set_serviceaccount("sa");
  *match.add_not_service_accounts() = match.service_accounts(0);
  for (auto* list : {match.mutable_source_ips(), match.mutable_not_source_ips(),
                     match.mutable_destination_ips(), match.mutable_not_destination_ips()}) {
    auto& address = *list->Add();
    address.set_address(IpAddress::Parse("10.0.0.0")->ToBytes());
    address.set_length(8);
  }
  match.add_destination_ports(80);
  match.add_not_destination_ports(81);
  return policy;
}

class DumpKeys : public ::testing::Test {
 protected:
  void SetUp() override {
    state::StateStore store;
    ASSERT_TRUE(store.UpsertAddress("Kubernetes//Pod/default/a", FullWorkload()).ok());
    ASSERT_TRUE(store.UpsertAddress("default/a.default", FullService()).ok());
    ASSERT_TRUE(store.UpsertPolicy("default/p", FullPolicy()).ok());
    snapshot_.mesh = store.Publish();
    identity::CertificateState certificate{.identity = {"td", "default", "sa"},
                                           .certificate = *ca_.Issue({"td", "default", "sa"}),
                                           .last_error = absl::OkStatus()};
    snapshot_.certificates.push_back(certificate);
    auto pod = std::make_shared<tunnel::Pod>();
    pod->uid = "uid";
    pod->name = "a";
    pod->ns = "default";
    pod->service_account = "sa";
    snapshot_.pods.push_back({pod, false, absl::OkStatus()});
    tunnel::ActiveConnection connection;
    connection.pod_uid = "uid";
    connection.direction = telemetry::Direction::kInbound;
    connection.src = *SocketAddress::Parse("10.0.0.2:1000");
    connection.original_dst = *SocketAddress::Parse("10.0.0.1:80");
    connection.actual_dst = *SocketAddress::Parse("10.0.0.1:8080");
    snapshot_.connections.push_back(connection);
    made_ = Parse(ConfigDump(snapshot_, "1.30.0", [](JsonWriter& json) {
      json.BeginObject();
      json.EndObject();
    }));
  }
  Struct Item(const std::string& list) {
    return made_.fields().at(list).list_value().values(0).struct_value();
  }

  identity::LocalAuthority ca_;
  DumpSnapshot snapshot_;
  Struct made_;
};

using Set = std::set<std::string>;

TEST_F(DumpKeys, Workload) {
  const Struct w = Item("workloads");
  EXPECT_EQ(Keys(w), (Set{"workloadIps",
                          "waypoint",
                          "networkGateway",
                          "protocol",
                          "networkMode",
                          "uid",
                          "name",
                          "namespace",
                          "trustDomain",
                          "serviceAccount",
                          "network",
                          "workloadName",
                          "workloadType",
                          "canonicalName",
                          "canonicalRevision",
                          "hostname",
                          "node",
                          "nativeTunnel",
                          "applicationTunnel",
                          "authorizationPolicies",
                          "status",
                          "clusterId",
                          "locality",
                          "services",
                          "capacity"}));
  EXPECT_EQ(At(w, "workloadIps"), R"(["10.0.0.1","fd00::1"])");
  EXPECT_EQ(At(w, "waypoint|destination"), R"("net/10.0.0.9")");
  EXPECT_EQ(At(w, "waypoint|hboneMtlsPort"), "15008");
  EXPECT_EQ(At(w, "networkGateway|destination"), R"("default/waypoint.default")");
  EXPECT_EQ(At(w, "protocol"), R"("HBONE")");
  EXPECT_EQ(At(w, "status"), R"("Unhealthy")");
  EXPECT_EQ(At(w, "services"), R"(["default/a.default"])");
  EXPECT_EQ(At(w, "authorizationPolicies"), R"(["default/p"])");
  EXPECT_EQ(At(w, "capacity"), "7");
}

TEST_F(DumpKeys, Service) {
  const Struct s = Item("services");
  EXPECT_EQ(Keys(s), (Set{"name", "namespace", "hostname", "vips", "cidrVips", "ports", "endpoints",
                          "subjectAltNames", "waypoint", "weightedWaypoints", "loadBalancer",
                          "ipFamilies", "canonical", "visibility"}));
  EXPECT_EQ(At(s, "vips"), R"(["net/172.30.0.1"])");
  EXPECT_EQ(At(s, "cidrVips|0|network"), R"("net")");
  EXPECT_EQ(At(s, "cidrVips|0|cidr"), R"("172.31.0.0/24")");
  EXPECT_EQ(At(s, "ports"), R"({"80":8080})");
  const std::string endpoint = "endpoints|Kubernetes//Pod/default/a|";
  EXPECT_EQ(At(s, endpoint + "workloadUid"), R"("Kubernetes//Pod/default/a")");
  EXPECT_EQ(At(s, endpoint + "port"), R"({"80":8080})");
  EXPECT_EQ(At(s, endpoint + "status"), R"("Unhealthy")");
  EXPECT_EQ(At(s, "subjectAltNames"), R"(["spiffe://td/ns/default/sa/sa"])");
  EXPECT_EQ(At(s, "loadBalancer|routingPreferences"), R"(["Region"])");
  EXPECT_EQ(At(s, "loadBalancer|mode"), R"("Failover")");
  EXPECT_EQ(At(s, "loadBalancer|healthPolicy"), R"("AllowAll")");
}

TEST_F(DumpKeys, Policy) {
  const Struct p = Item("policies");
  EXPECT_EQ(Keys(p), (Set{"name", "namespace", "scope", "action", "rules", "dryRun"}));
  EXPECT_EQ(At(p, "scope"), R"("WorkloadSelector")");
  EXPECT_EQ(At(p, "action"), R"("Deny")");
  const Struct match = p.fields()
                           .at("rules")
                           .list_value()
                           .values(0)
                           .list_value()
                           .values(0)
                           .list_value()
                           .values(0)
                           .struct_value();
  EXPECT_EQ(Keys(match),
            (Set{"namespaces", "notNamespaces", "principals", "notPrincipals", "serviceAccounts",
                 "notServiceAccounts", "sourceIps", "notSourceIps", "destinationIps",
                 "notDestinationIps", "destinationPorts", "notDestinationPorts"}));
  EXPECT_EQ(At(match, "namespaces|0"), R"({"Exact":"e"})");
  EXPECT_EQ(At(match, "notNamespaces|0"), R"({"Prefix":"p"})");
  EXPECT_EQ(At(match, "principals|0"), R"({"Suffix":"s"})");
  EXPECT_EQ(At(match, "notPrincipals|0"), R"({"Presence":[]})");
  EXPECT_EQ(At(match, "sourceIps|0"), R"("10.0.0.0/8")");
  EXPECT_EQ(At(match, "destinationPorts"), "[80]");
}

TEST_F(DumpKeys, Certificate) {
  const Struct c = Item("certificates");
  EXPECT_EQ(Keys(c), (Set{"identity", "state", "certChain", "rootCerts"}));
  EXPECT_EQ(At(c, "identity"), R"("spiffe://td/ns/default/sa/sa")");
  EXPECT_EQ(At(c, "state"), R"("Available")");
  for (const char* list : {"certChain", "rootCerts"}) {
    const Struct item = c.fields().at(list).list_value().values(0).struct_value();
    EXPECT_EQ(Keys(item), (Set{"pem", "serialNumber", "validFrom", "expirationTime"})) << list;
  }
  const std::string serial = At(c, "certChain|0|serialNumber");
  EXPECT_EQ(serial.find_first_not_of("\"0123456789"), std::string::npos) << serial;
  const std::string from = At(c, "certChain|0|validFrom");
  absl::Time time;
  EXPECT_TRUE(absl::ParseTime(absl::RFC3339_full, from.substr(1, from.size() - 2), &time, nullptr))
      << from;
}

TEST_F(DumpKeys, WorkloadState) {
  EXPECT_EQ(At(made_, "workloadState|uid|state"), R"("Pending")");
  EXPECT_EQ(At(made_, "workloadState|uid|info|name"), R"("a")");
  EXPECT_EQ(At(made_, "workloadState|uid|info|namespace"), R"("default")");
  EXPECT_EQ(At(made_, "workloadState|uid|info|serviceAccount"), R"("sa")");
  EXPECT_EQ(At(made_, "workloadState|uid|connections|outbound"), "[]");
  const std::string in = "workloadState|uid|connections|inbound|0|";
  EXPECT_EQ(At(made_, in + "src"), R"("10.0.0.2:1000")");
  EXPECT_EQ(At(made_, in + "originalDst"), R"("10.0.0.1:80")");
  EXPECT_EQ(At(made_, in + "actualDst"), R"("10.0.0.1:8080")");
  EXPECT_EQ(At(made_, in + "protocol"), R"("TCP")");
}

TEST_F(DumpKeys, TopLevel) {
  EXPECT_EQ(Keys(made_), (Set{"workloads", "services", "policies", "stagedServices", "certificates",
                              "workloadState", "staticConfig", "version", "config"}));
}

}  // namespace
}  // namespace mesh::admin
