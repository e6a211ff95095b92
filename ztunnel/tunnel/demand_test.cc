// A state that holds only what was asked for.
#include <gtest/gtest.h>

#include "ztunnel/core/telemetry/shard.h"
#include "ztunnel/tunnel/test_nodes.h"

namespace mesh::tunnel {
namespace {

class DemandTest : public TunnelTest {
 protected:
  // The near worker knows of the server nothing but what `demand` brings in.
  void ForgetServer(Demand demand) {
    OnLoop([&] {
      store_.RemoveAddress("k//Pod/default/server");
      store_.RemoveAddress("default/server.default.svc.cluster.local");
      near_->SetState(store_.Publish());
      near_->SetDemand(std::move(demand));
    });
  }
  Demand Answering() {
    return [this](std::string name, base::EventLoop& loop, std::function<void(bool)> done) {
      asked_.push_back(std::move(name));
      AddWorkload("server", kServerIp);
      AddService();
      near_->SetState(store_.Publish());
      loop.Post([done = std::move(done)] { done(true); });
    };
  }
  void ExpectTunnel(const std::string& ip, uint16_t port) {
    UniqueFd fd = OpenConnection(ip, port);
    OnLoop([this] {
      ASSERT_EQ(near_->ActiveConnections().size(), 1u);
      EXPECT_TRUE(near_->ActiveConnections()[0].hbone);
    });
  }
  std::vector<std::string> asked_;  // on the loop
};

TEST_F(DemandTest, AWorkloadIsAskedForAndThenReachedThroughTheTunnel) {
  Listen();
  Run();
  ForgetServer(Answering());
  ExpectTunnel(kServerIp, server_port_);
  OnLoop([this] { EXPECT_EQ(asked_, std::vector<std::string>{"/" + kServerIp}); });
}

TEST_F(DemandTest, AServiceIsAskedForByItsAddress) {
  Listen();
  Run();
  ForgetServer(Answering());
  ExpectTunnel(kVip, 80);
  OnLoop([this] { EXPECT_EQ(asked_, std::vector<std::string>{"/" + kVip}); });
}

// Plain text to somebody who may be in the mesh is not a guess to make.
TEST_F(DemandTest, NoAnswerIsARefusalNotAWayAround) {
  Listen(0);
  Run();
  ForgetServer([](std::string, base::EventLoop& loop, std::function<void(bool)> done) {
    loop.Post([done = std::move(done)] { done(false); });
  });
  EXPECT_TRUE(WasReset(Exchange(kServerIp, server_port_, "x")));
  uint64_t refused = 0;
  OnLoop([&] {
    refused = metrics_.shard().refused_by_reason[static_cast<int>(telemetry::Direction::kOutbound)]
                                                [MESH_REASON_UNKNOWN_DESTINATION];
  });
  EXPECT_EQ(refused, 1u);
}

TEST_F(DemandTest, APolicyThatComesWhileTheClientIsAskedForIsAsked) {
  Listen(0);
  config_.original_destination = [this](const net::Socket& socket) -> std::optional<SocketAddress> {
    const auto local = socket.LocalAddress();
    if (local && local->port == 15006) return SocketAddress{local->ip, server_port_};
    return std::nullopt;
  };
  Run();
  ChangeWhileThePeerIsAskedFor([this] {
    DenyServer();
    AddWorkload("server", kServerIp);
  });
  UniqueFd fd = Blocking(*client_pod_->netns, {*IpAddress::Parse(kServerIp), 15006});
  EXPECT_EQ(ReadAll(fd.get()), "<ECONNRESET>");
  uint64_t denied = 0;
  OnLoop([&] {
    denied = metrics_.shard().closed_by_reason[static_cast<int>(telemetry::Reporter::kDestination)]
                                              [MESH_REASON_POLICY_DENY];
  });
  EXPECT_EQ(denied, 1u);
}

TEST_F(DemandTest, NobodyBehindTheAddressPassesThrough) {
  Listen();
  Run();
  ForgetServer([](std::string, base::EventLoop& loop, std::function<void(bool)> done) {
    loop.Post([done = std::move(done)] { done(true); });
  });
  EXPECT_EQ(Exchange(kServerIp, server_port_, "plain"), "plain");
}

}  // namespace
}  // namespace mesh::tunnel
