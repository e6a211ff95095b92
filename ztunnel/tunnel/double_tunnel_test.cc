// An endpoint on another network: through the gateway of that network, which is a third of our own
// nodes here, serving others' names as an application tunnel to port 15008 behind it.
#include <gtest/gtest.h>

#include "ztunnel/core/telemetry/registry.h"
#include "ztunnel/tunnel/test_nodes.h"

namespace mesh::tunnel {
namespace {

constexpr uint16_t kGatewayPort = 15108;

class DoubleTunnelTest : public TunnelTest {
 protected:
  // Both nodes know the mesh as their own network sees it.
  void RunNetworks(std::vector<std::string> sans, bool knows_gateway = true) {
    config_.network = "net-1";
    Run();
    gateway_pod_ = MakePod("gateway", wire_->b);
    manager_->Retain(gateway_pod_->Identity());
    Config config = config_;
    config.network = "net-2";
    config.outbound_port = 15101;
    config.inbound_plaintext_port = 15106;
    config.hbone_port = kGatewayPort;
    OnLoop([&] {
      near_->SetState(NearState(sans, knows_gateway));
      gateway_ = std::make_unique<Worker>(loop_, config, *manager_, metrics_);
      gateway_->SetState(GatewayState());
      const absl::Status added = gateway_->AddPod(gateway_pod_);
      ASSERT_TRUE(added.ok()) << added;
    });
  }
  void TearDown() override {
    if (gateway_) OnLoop([this] { gateway_.reset(); });
    TunnelTest::TearDown();
  }
  static istio::workload::Address WorkloadOn(const std::string& network, const std::string& name) {
    istio::workload::Address address = WorkloadOf(name);
    address.mutable_workload()->set_network(network);
    return address;
  }
  static istio::workload::Address GatewayWorkload() {
    istio::workload::Address gateway = WorkloadOn("net-2", "gateway");
    gateway.mutable_workload()->add_addresses(Bytes(kServerIp));
    auto& tunnel = *gateway.mutable_workload()->mutable_application_tunnel();
    tunnel.set_protocol(istio::workload::ApplicationTunnel::NONE);
    tunnel.set_port(15008);
    return gateway;
  }
  state::MeshStateRef NearState(const std::vector<std::string>& sans, bool knows_gateway) {
    istio::workload::Address client = WorkloadOn("net-1", "client");
    client.mutable_workload()->add_addresses(Bytes(kClientIp));
    istio::workload::Address server = WorkloadOn("net-2", "server");
    auto& gateway = *server.mutable_workload()->mutable_network_gateway();
    gateway.mutable_address()->set_network("net-2");
    gateway.mutable_address()->set_address(Bytes(kServerIp));
    gateway.set_hbone_mtls_port(kGatewayPort);
    AddPort((*server.mutable_workload()->mutable_services())[kServiceKey]);
    istio::workload::Address service = ServiceOf("net-1");
    for (const auto& san : sans) service.mutable_service()->add_subject_alt_names(san);
    Put(near_store_, "k//Pod/default/client", client);
    Put(near_store_, "k//Pod/default/server", server);
    Put(near_store_, kServiceKey, service);
    if (knows_gateway) Put(near_store_, "k//Pod/default/gateway", GatewayWorkload());
    return near_store_.Publish();
  }
  state::MeshStateRef GatewayState() {
    Put(gateway_store_, "k//Pod/default/gateway", GatewayWorkload());
    Put(gateway_store_, kServiceKey, ServiceOf("net-2"));
    return gateway_store_.Publish();
  }
  const std::vector<std::string> server_name_ = {"spiffe://cluster.local/ns/default/sa/server"};
  PodRef gateway_pod_;
  state::StateStore near_store_, gateway_store_;
  std::unique_ptr<Worker> gateway_;
};

TEST_F(DoubleTunnelTest, ReachesAnEndpointBehindTheGatewayOfItsNetwork) {
  Listen();
  RunNetworks(server_name_);
  EXPECT_EQ(Exchange(kVip, 80, "across"), "across");
}

TEST_F(DoubleTunnelTest, LosesNothingOfALargeExchange) {
  Listen();
  RunNetworks(server_name_);
  std::string sent(6 << 20, 'x');
  for (size_t i = 0; i < sent.size(); i += 4096) sent[i] = static_cast<char>('a' + i / 4096 % 26);
  UniqueFd fd = Connect(kVip, 80);
  const std::string got = SendAndReadAll(fd.get(), sent);
  EXPECT_TRUE(got == sent) << got.size() << " of " << sent.size();
}

// Who answers beyond the gateway is not the gateway's word.
TEST_F(DoubleTunnelTest, AnotherIdentityBeyondTheGatewayIsRefused) {
  Listen(0);
  RunNetworks({"spiffe://cluster.local/ns/default/sa/gateway"});
  EXPECT_TRUE(WasReset(Exchange(kVip, 80, "x")));
  EXPECT_EQ(Ended(MESH_REASON_IDENTITY_MISMATCH), 1u);
}

TEST_F(DoubleTunnelTest, AServiceThatNamesNobodyIsRefused) {
  Listen(0);
  RunNetworks({});
  EXPECT_TRUE(WasReset(Exchange(kVip, 80, "x")));
  EXPECT_EQ(Ended(MESH_REASON_CONNECT_UNREACHABLE), 1u);
}

TEST_F(DoubleTunnelTest, AnUnknownGatewayIsRefused) {
  Listen(0);
  RunNetworks(server_name_, false);
  EXPECT_TRUE(WasReset(Exchange(kVip, 80, "x")));
  EXPECT_EQ(Ended(MESH_REASON_CONNECT_UNREACHABLE), 1u);
}

TEST_F(DoubleTunnelTest, TheFarEndsRefusalIsNamedAtTheSource) {
  Listen(0);
  DenyServer();
  RunNetworks(server_name_);
  EXPECT_TRUE(WasReset(Exchange(kVip, 80, "x")));
  EXPECT_EQ(Ended(MESH_REASON_POLICY_DENY), 1u);
}

}  // namespace
}  // namespace mesh::tunnel
