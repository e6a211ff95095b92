// A service whose endpoint is known by its host name only.
#include <gtest/gtest.h>

#include "ztunnel/core/telemetry/registry.h"
#include "ztunnel/tunnel/test_nodes.h"

namespace mesh::tunnel {
namespace {

const std::string kExternalVip = "240.240.0.9";
const std::string kExternalVip6 = "2001:2::9";

class HostnameTest : public TunnelTest {
 protected:
  void TearDown() override {
    TunnelTest::TearDown();
    hosts_.reset();
  }
  // What the name resolves to; nothing: there is no such name.
  void RunWith(std::vector<std::string> addresses, istio::workload::TunnelProtocol protocol) {
    net::HostResolver::Options options;
    options.lookup = [addresses](const std::string& host) -> net::HostResolver::Result {
      std::vector<IpAddress> result;
      for (const auto& text : addresses) result.push_back(*IpAddress::Parse(text));
      if (result.empty()) return NotFound("host {} is not there", host);
      return result;
    };
    hosts_ = std::make_unique<net::HostResolver>(std::move(options));
    Run();
    OnLoop([&] {
      near_->SetHostResolver(*hosts_);
      AddExternal(protocol);
      near_->SetState(store_.Publish());
    });
  }
  void AddExternal(istio::workload::TunnelProtocol protocol) {
    const std::string key = "default/db.example.com";
    istio::workload::Address address;
    auto& w = *address.mutable_workload();
    w.set_uid("k/networking.istio.io/ServiceEntry/default/db/0");
    w.set_name("db");
    w.set_namespace_("default");
    // The certificate of the pod that answers under that name.
    w.set_service_account("server");
    w.set_hostname("db.example.com");
    w.set_tunnel_protocol(protocol);
    AddPort((*w.mutable_services())[key]);
    Put(store_, w.uid(), address);
    istio::workload::Address service;
    auto& s = *service.mutable_service();
    s.set_name("db");
    s.set_namespace_("default");
    s.set_hostname("db.example.com");
    s.add_addresses()->set_address(Bytes(kExternalVip));
    s.add_addresses()->set_address(Bytes(kExternalVip6));
    AddPort(s);
    Put(store_, key, service);
  }
  // Which address the connection went to; the connection is open meanwhile.
  std::string NextHop(const std::string& vip) {
    UniqueFd fd = OpenConnection(vip, 80);
    std::string hop;
    OnLoop([&] {
      for (const ActiveConnection& connection : near_->ActiveConnections()) {
        hop = connection.actual_dst.ip.ToString();
      }
    });
    return hop;
  }
  std::unique_ptr<net::HostResolver> hosts_;
};

TEST_F(HostnameTest, IsReachedWhereTheNameResolvesToAndCounted) {
  Listen();
  RunWith({kServerIp}, istio::workload::NONE);
  EXPECT_EQ(Exchange(kExternalVip, 80, "ping"), "ping");
  EXPECT_EQ(server_saw_, kClientIp);
  const std::string metrics = registry_.Render(telemetry::MetricsFormat::kOpenMetrics);
  const size_t at = metrics.find("istio_on_demand_dns_total{source_workload=\"client\"");
  ASSERT_NE(at, std::string::npos);
  const std::string line = metrics.substr(at, metrics.find('\n', at) - at);
  EXPECT_NE(line.find("hostname=\"db.example.com\""), std::string::npos) << line;
  EXPECT_NE(line.find("source_principal=\"spiffe://cluster.local/ns/default/sa/client\""),
            std::string::npos)
      << line;
}

TEST_F(HostnameTest, TakesTheTunnelWhenTheEndpointSpeaksIt) {
  Listen();
  RunWith({kServerIp}, istio::workload::HBONE);
  UniqueFd fd = OpenConnection(kExternalVip, 80);
  OnLoop([this] {
    ASSERT_EQ(near_->ActiveConnections().size(), 1u);
    EXPECT_EQ(near_->ActiveConnections()[0].authority,
              kServerIp + ":" + std::to_string(server_port_));
  });
}

TEST_F(HostnameTest, PrefersTheFamilyThatWasAskedFor) {
  Listen(2);
  RunWith({kServerIp, kServerIp6}, istio::workload::NONE);
  EXPECT_EQ(NextHop(kExternalVip), kServerIp);
  EXPECT_EQ(NextHop(kExternalVip6), kServerIp6);
}

TEST_F(HostnameTest, TakesTheOtherFamilyWhenThereIsNoChoice) {
  Listen();
  RunWith({kServerIp6}, istio::workload::NONE);
  EXPECT_EQ(NextHop(kExternalVip), kServerIp6);
}

TEST_F(HostnameTest, ANameThatDoesNotResolveIsARefusal) {
  Listen(0);
  RunWith({}, istio::workload::NONE);
  EXPECT_TRUE(WasReset(Exchange(kExternalVip, 80, "x")));
  EXPECT_EQ(Ended(MESH_REASON_CONNECT_UNREACHABLE), 1u);
}

// The node's hosts file may name loopback: in a pod that is another machine's door.
TEST_F(HostnameTest, TheLoopbackOfTheNodeIsNotThatOfThePod) {
  Listen(0);
  RunWith({"127.0.0.1", "::1", "0.0.0.0"}, istio::workload::NONE);
  EXPECT_TRUE(WasReset(Exchange(kExternalVip, 80, "x")));
  EXPECT_EQ(Ended(MESH_REASON_CONNECT_UNREACHABLE), 1u);
}

}  // namespace
}  // namespace mesh::tunnel
