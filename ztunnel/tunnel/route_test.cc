#include "ztunnel/tunnel/route.h"

#include <absl/random/random.h>
#include <gtest/gtest.h>

#include "proto/workload.pb.h"
#include "ztunnel/core/telemetry/telemetry.h"
#include "ztunnel/tunnel/load_balancer.h"

namespace mesh::tunnel {
namespace {

using istio::workload::Address;

std::string Bytes(std::string_view ip) { return IpAddress::Parse(ip)->ToBytes(); }

// A mesh in a few lines; every case changes what it needs.
class RouteTest : public testing::Test {
 protected:
  istio::workload::Workload& Workload(const std::string& name, std::vector<std::string> ips) {
    Address& address = addresses_["k//Pod/default/" + name];
    auto& w = *address.mutable_workload();
    w.set_uid("k//Pod/default/" + name);
    w.set_name(name);
    w.set_namespace_("default");
    w.set_service_account(name);
    for (const auto& ip : ips) w.add_addresses(Bytes(ip));
    w.set_tunnel_protocol(istio::workload::HBONE);
    return w;
  }
  istio::workload::Service& Service(const std::string& name, const std::string& vip,
                                    uint32_t port = 80, uint32_t target = 8080) {
    const std::string host = name + ".default.svc.cluster.local";
    auto& s = *addresses_["default/" + host].mutable_service();
    s.set_name(name);
    s.set_namespace_("default");
    s.set_hostname(host);
    s.add_addresses()->set_address(Bytes(vip));
    auto& p = *s.add_ports();
    p.set_service_port(port);
    p.set_target_port(target);
    return s;
  }
  static void Join(istio::workload::Workload& w, const std::string& service, uint32_t port = 80,
                   uint32_t target = 8080) {
    auto& p =
        *(*w.mutable_services())["default/" + service + ".default.svc.cluster.local"].add_ports();
    p.set_service_port(port);
    p.set_target_port(target);
  }
  static void Waypoint(istio::workload::GatewayAddress* gateway, const std::string& service) {
    gateway->mutable_hostname()->set_namespace_("default");
    gateway->mutable_hostname()->set_hostname(service + ".default.svc.cluster.local");
    gateway->set_hbone_mtls_port(15008);
  }

  absl::StatusOr<Route> Resolve(const std::string& to) {
    for (const auto& [name, address] : addresses_) {
      const absl::Status status = store_.UpsertAddress(name, address);
      EXPECT_TRUE(status.ok()) << status;
    }
    state_ = store_.Publish();
    source_ = state_->FindWorkloadByUid("k//Pod/default/client");
    return ResolveOutbound({*state_, *source_, *SocketAddress::Parse(to), network_, 15008},
                           random_);
  }
  mesh_reason Reason(const std::string& to) { return telemetry::ReasonOf(Resolve(to).status()); }

  void SetUp() override { Workload("client", {"10.0.0.1", "fd00::1"}); }

  std::map<std::string, Address> addresses_;
  state::StateStore store_;
  state::MeshStateRef state_;
  state::WorkloadRef source_;
  std::string network_;
  absl::BitGen random_;
};

TEST_F(RouteTest, UnknownPassesThrough) {
  const auto route = Resolve("1.2.3.4:443");
  ASSERT_TRUE(route.ok());
  EXPECT_EQ(route->kind, Route::Kind::kPassthrough);
  EXPECT_EQ(route->next_hop.ToString(), "1.2.3.4:443");
}

TEST_F(RouteTest, WorkloadByAddress) {
  Workload("server", {"10.0.0.2"});
  Workload("plain", {"10.0.0.3"}).set_tunnel_protocol(istio::workload::NONE);
  auto route = Resolve("10.0.0.2:7000");
  ASSERT_TRUE(route.ok());
  EXPECT_EQ(route->kind, Route::Kind::kHbone);
  EXPECT_EQ(route->next_hop.ToString(), "10.0.0.2:15008");
  EXPECT_EQ(route->authority, "10.0.0.2:7000");
  ASSERT_EQ(route->accepted.size(), 1u);
  EXPECT_EQ(route->accepted[0].service_account, "server");
  route = Resolve("10.0.0.3:7000");
  ASSERT_TRUE(route.ok());
  EXPECT_EQ(route->kind, Route::Kind::kTcp);
  EXPECT_EQ(route->next_hop.ToString(), "10.0.0.3:7000");
}

TEST_F(RouteTest, ServiceMapsItsPortAndAcceptsItsNames) {
  Join(Workload("server", {"10.0.0.2"}), "web");
  Service("web", "10.96.0.1").add_subject_alt_names("spiffe://cluster.local/ns/far/sa/web");
  const auto route = Resolve("10.96.0.1:80");
  ASSERT_TRUE(route.ok()) << route.status();
  EXPECT_EQ(route->authority, "10.0.0.2:8080");
  ASSERT_EQ(route->accepted.size(), 2u);
  EXPECT_EQ(route->accepted[0].ns, "far");
  EXPECT_EQ(route->service->name, "web");
  EXPECT_EQ(Reason("10.96.0.1:81"), MESH_REASON_SERVICE_PORT_UNKNOWN);
}

TEST_F(RouteTest, ServiceWithoutEndpointsFailsUnlessPassthrough) {
  auto& service = Service("web", "10.96.0.1");
  EXPECT_EQ(Reason("10.96.0.1:80"), MESH_REASON_NO_HEALTHY_ENDPOINT);
  service.mutable_load_balancing()->set_mode(istio::workload::LoadBalancing::PASSTHROUGH);
  const auto route = Resolve("10.96.0.1:80");
  ASSERT_TRUE(route.ok());
  EXPECT_EQ(route->kind, Route::Kind::kPassthrough);
}

TEST_F(RouteTest, TheFamilyAskedForIsPreferred) {
  Join(Workload("server", {"10.0.0.2", "fd00::2"}), "web");
  auto& service = Service("web", "10.96.0.1");
  service.add_addresses()->set_address(Bytes("fd00:96::1"));
  EXPECT_EQ(Resolve("[fd00:96::1]:80")->authority, "[fd00::2]:8080");
  EXPECT_EQ(Resolve("10.96.0.1:80")->authority, "10.0.0.2:8080");
}

TEST_F(RouteTest, UnhealthyEndpointsAreNotChosen) {
  Join(Workload("one", {"10.0.0.2"}), "web");
  auto& two = Workload("two", {"10.0.0.3"});
  Join(two, "web");
  two.set_status(istio::workload::UNHEALTHY);
  Service("web", "10.96.0.1");
  for (int i = 0; i < 50; ++i) EXPECT_EQ(Resolve("10.96.0.1:80")->authority, "10.0.0.2:8080");
}

TEST_F(RouteTest, CapacityIsTheWeight) {
  Join(Workload("one", {"10.0.0.2"}), "web");
  auto& two = Workload("two", {"10.0.0.3"});
  Join(two, "web");
  two.mutable_capacity()->set_value(0);
  Service("web", "10.96.0.1");
  for (int i = 0; i < 50; ++i) EXPECT_EQ(Resolve("10.96.0.1:80")->authority, "10.0.0.2:8080");
}

TEST_F(RouteTest, WaypointTakesServiceTrafficAndNothingGoesAroundIt) {
  Join(Workload("server", {"10.0.0.2"}), "web");
  Waypoint(Service("web", "10.96.0.1").mutable_waypoint(), "wp");
  EXPECT_EQ(Reason("10.96.0.1:80"), MESH_REASON_NO_HEALTHY_WAYPOINT);
  Service("wp", "10.96.0.9", 15008, 15008);
  EXPECT_EQ(Reason("10.96.0.1:80"), MESH_REASON_NO_HEALTHY_WAYPOINT);
  Join(Workload("waypoint", {"10.0.0.9"}), "wp", 15008, 15008);
  const auto route = Resolve("10.96.0.1:80");
  ASSERT_TRUE(route.ok()) << route.status();
  EXPECT_TRUE(route->via_waypoint);
  EXPECT_EQ(route->next_hop.ToString(), "10.0.0.9:15008");
  EXPECT_EQ(route->authority, "10.96.0.1:80");
  EXPECT_EQ(route->destination->name, "waypoint");
  EXPECT_EQ(route->service->name, "web");
}

TEST_F(RouteTest, WorkloadWaypointIsForWorkloadAddressesAndNotForItself) {
  auto& server = Workload("server", {"10.0.0.2"});
  Waypoint(server.mutable_waypoint(), "wp");
  Join(server, "web");
  Service("web", "10.96.0.1");
  Service("wp", "10.96.0.9", 15008, 15008);
  Join(Workload("waypoint", {"10.0.0.9"}), "wp", 15008, 15008);
  EXPECT_TRUE(Resolve("10.0.0.2:7000")->via_waypoint);
  EXPECT_EQ(Resolve("10.0.0.2:7000")->authority, "10.0.0.2:7000");
  EXPECT_FALSE(Resolve("10.96.0.1:80")->via_waypoint);
  Join(addresses_["k//Pod/default/client"].mutable_workload()[0], "wp", 15008, 15008);
  EXPECT_FALSE(Resolve("10.0.0.2:7000")->via_waypoint) << "the client stands behind that waypoint";
}

TEST_F(RouteTest, AnotherNetworkIsReachedThroughItsGatewayByName) {
  auto& service = Service("svc", "10.96.0.1");
  service.add_subject_alt_names("spiffe://cluster.local/ns/default/sa/server");
  auto& server = Workload("server", {});
  server.set_network("far");
  Join(server, "svc");
  auto& gateway = *server.mutable_network_gateway();
  gateway.mutable_address()->set_network("far");
  gateway.mutable_address()->set_address(Bytes("198.51.100.7"));
  gateway.set_hbone_mtls_port(15443);
  EXPECT_EQ(Reason("10.96.0.1:80"), MESH_REASON_CONNECT_UNREACHABLE) << "no such gateway is known";
  Workload("gateway", {"198.51.100.7"}).set_network("far");
  auto route = Resolve("10.96.0.1:80");
  ASSERT_TRUE(route.ok()) << route.status();
  EXPECT_EQ(route->next_hop.ToString(), "198.51.100.7:15443");
  EXPECT_EQ(route->authority, "svc.default.svc.cluster.local:80");
  ASSERT_EQ(route->accepted.size(), 1u);
  EXPECT_EQ(route->accepted[0].service_account, "gateway");
  ASSERT_EQ(route->inner_accepted.size(), 1u);
  EXPECT_EQ(route->inner_accepted[0].service_account, "server");
  // Whoever answers there has to be somebody that the service names.
  service.clear_subject_alt_names();
  EXPECT_EQ(Reason("10.96.0.1:80"), MESH_REASON_CONNECT_UNREACHABLE);
}

TEST_F(RouteTest, AnEndpointKnownByNameIsLeftToBeResolved) {
  Service("db", "10.96.0.1");
  auto& w = Workload("db", {});
  w.set_hostname("db.example.com");
  Join(w, "db");
  auto route = Resolve("10.96.0.1:80");
  ASSERT_TRUE(route.ok()) << route.status();
  EXPECT_EQ(route->hostname, "db.example.com");
  SetAddress(*route, *IpAddress::Parse("192.0.2.7"));
  EXPECT_EQ(route->hostname, "");
  EXPECT_EQ(route->next_hop.ToString(), "192.0.2.7:15008");
  EXPECT_EQ(route->target.ToString(), "192.0.2.7:8080");
  EXPECT_EQ(route->authority, "192.0.2.7:8080");
}

TEST_F(RouteTest, AWaypointKnownByNameIsAskedForWhatTheClientAskedFor) {
  Waypoint(Service("svc", "10.96.0.1").mutable_waypoint(), "wp");
  Service("wp", "10.96.0.9", 15008, 15008);
  auto& w = Workload("waypoint", {});
  w.set_hostname("waypoint.example.com");
  Join(w, "wp", 15008, 15008);
  auto route = Resolve("10.96.0.1:80");
  ASSERT_TRUE(route.ok()) << route.status();
  EXPECT_EQ(route->hostname, "waypoint.example.com");
  SetAddress(*route, *IpAddress::Parse("192.0.2.7"));
  EXPECT_EQ(route->next_hop.ToString(), "192.0.2.7:15008");
  EXPECT_EQ(route->authority, "10.96.0.1:80");
}

state::Workload At(const std::string& region, const std::string& zone, const std::string& node,
                   const std::string& network = "") {
  state::Workload w;
  w.locality.region = region;
  w.locality.zone = zone;
  w.node = node;
  w.network = network;
  return w;
}

TEST(Rank, CountsLeadingMatches) {
  using enum state::Scope;
  const state::Workload client = At("r1", "z1", "n1");
  const std::vector<state::Scope> scopes = {kRegion, kZone, kNode};
  EXPECT_EQ(RankOf(scopes, client, At("r1", "z1", "n1")).matches, 3);
  EXPECT_TRUE(RankOf(scopes, client, At("r1", "z1", "n1")).all);
  EXPECT_EQ(RankOf(scopes, client, At("r1", "z2", "n1")).matches, 1);
  EXPECT_EQ(RankOf(scopes, client, At("r2", "z1", "n1")).matches, 0);
  const std::vector<state::Scope> network = {kNetwork, kRegion, kZone};
  EXPECT_EQ(RankOf(network, client, At("r1", "z1", "n1", "other")).matches, 2);
  EXPECT_EQ(RankOf(network, client, At("r2", "z1", "n1")).matches, 3);
  EXPECT_EQ(RankOf(network, client, At("r1", "z1", "n1")).matches, 5);
}

}  // namespace
}  // namespace mesh::tunnel
