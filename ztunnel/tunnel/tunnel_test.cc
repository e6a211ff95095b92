#include <gtest/gtest.h>

#include "ztunnel/tunnel/test_nodes.h"

namespace mesh::tunnel {
namespace {

TEST_F(TunnelTest, EchoThroughTheTunnelByPodAndByService) {
  Listen(2);
  Run();
  EXPECT_EQ(Exchange(kServerIp, server_port_, "hello"), "hello");
  EXPECT_EQ(Exchange(kVip, 80, "service"), "service");
}

TEST_F(TunnelTest, BulkBothWaysArrivesWhole) {
  Listen();
  Run();
  UniqueFd fd = Connect(kVip, 80);
  std::string sent(40 << 20, 0);
  for (size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>((i * 2654435761u) >> 13);
  const std::string received = SendAndReadAll(fd.get(), sent);
  EXPECT_EQ(received.size(), sent.size());
  EXPECT_TRUE(received == sent);
}

TEST_F(TunnelTest, ServerThatSpeaksFirst) {
  Listen(1, "220 ready");
  Run();
  UniqueFd fd = Connect(kServerIp, server_port_);
  char buffer[32];
  ASSERT_EQ(read(fd.get(), buffer, sizeof buffer), 9);
  EXPECT_EQ(std::string(buffer, 9), "220 ready");
}

TEST_F(TunnelTest, NobodyListensIsAReset) {
  Run();
  EXPECT_TRUE(WasReset(Exchange(kServerIp, 7999, "x")));
}

TEST_F(TunnelTest, PolicyRefuses) {
  Listen(0);
  DenyServer();
  Run();
  EXPECT_TRUE(WasReset(Exchange(kServerIp, server_port_, "x")));
}

TEST_F(TunnelTest, TheSourceNamesWhatTheFarEndAnswered) {
  Listen(0);
  Run();
  EXPECT_TRUE(WasReset(Exchange(kServerIp, 7999, "x")));
  EXPECT_EQ(Ended(MESH_REASON_CONNECT_REFUSED), 1u);
  EXPECT_TRUE(WasReset(Exchange(kServerIp, 15006, "x")));
  EXPECT_EQ(Ended(MESH_REASON_ILLEGAL_PORT), 1u);
  DenyServer();
  OnLoop([this] { Publish(); });
  EXPECT_TRUE(WasReset(Exchange(kServerIp, server_port_, "x")));
  EXPECT_EQ(Ended(MESH_REASON_POLICY_DENY), 1u);
  EXPECT_EQ(Ended(MESH_REASON_TUNNEL_REFUSED), 0u);
}

TEST_F(TunnelTest, PolicyThatChangesEndsWhatLives) {
  Listen();
  Run();
  UniqueFd fd = OpenConnection(kServerIp, server_port_);
  DenyServer();
  OnLoop([this] { Publish(); });
  EXPECT_EQ(ReadAll(fd.get()), "<ECONNRESET>");
}

TEST_F(TunnelTest, ResetOfTheClientReachesTheServer) {
  Listen();
  Run();
  UniqueFd fd = OpenConnection(kServerIp, server_port_);
  const linger now{1, 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  fd.Reset();
  echo_.join();
  EXPECT_TRUE(server_saw_reset_);
}

TEST_F(TunnelTest, SameNodeIsCopiedUnderTheDestinationsPolicy) {
  Listen(1);
  Run(true);
  UniqueFd fd = OpenConnection(kServerIp, server_port_);
  OnLoop([this] {
    const auto active = near_->ActiveConnections();
    ASSERT_EQ(active.size(), 1u);
    EXPECT_EQ(active[0].received_bytes, 4u);
    EXPECT_EQ(active[0].sent_bytes, 4u);
  });
  DenyServer();
  OnLoop([this] { Publish(); });
  EXPECT_EQ(ReadAll(fd.get()), "<ECONNRESET>");
  EXPECT_TRUE(WasReset(Exchange(kServerIp, server_port_, "x")));
}

TEST_F(TunnelTest, AnEndpointOutsideWithAPodsNameIsNotThatPod) {
  Listen(1);
  RouteMarkedReplies();
  Run(true);
  // Nobody listens there; whoever took it for the pod would be answered by the pod.
  ASSERT_EQ(Shell("ip -n " + wire_->a + " addr add 10.89.77.9/24 dev eth0"), 0);
  OnLoop([this] {
    istio::workload::Address address;
    auto& w = *address.mutable_workload();
    w.set_uid("k/networking.istio.io/ServiceEntry/default/server/10.89.77.9");
    w.set_name("server");
    w.set_namespace_("default");
    w.set_service_account("server");
    w.add_addresses(Bytes("10.89.77.9"));
    ASSERT_TRUE(store_.UpsertAddress(w.uid(), address).ok());
    near_->SetState(store_.Publish());
  });
  EXPECT_TRUE(WasReset(Exchange("10.89.77.9", server_port_, "x")));
  EXPECT_EQ(Exchange(kServerIp, server_port_, "who"), "who");
}

TEST_F(TunnelTest, APodThatRunsElsewhereByNowIsNotTheOneHere) {
  Listen(1);
  config_.node_name = "here";
  server_node_ = "there";
  Run(true);
  UniqueFd fd = OpenConnection(kServerIp, server_port_);
  OnLoop([this] {
    const auto active = near_->ActiveConnections();
    ASSERT_EQ(active.size(), 2u) << "one at each end of the tunnel";
    EXPECT_TRUE(active[0].hbone && active[1].hbone);
  });
}

TEST_F(TunnelTest, UnknownDestinationPassesThrough) {
  Listen(1);
  Run(true);
  // An address that the mesh does not know, on the server's side of the wire.
  Shell("ip -n " + wire_->b + " addr add 10.89.77.9/24 dev eth0");
  EXPECT_EQ(Exchange("10.89.77.9", server_port_, "outside"), "outside");
}

TEST_F(TunnelTest, PlainTextFromOutsideIsServedAndPolicyApplies) {
  Listen(1);
  config_.original_destination = [this](const net::Socket& socket) -> std::optional<SocketAddress> {
    const auto local = socket.LocalAddress();
    if (local && local->port == 15006) return SocketAddress{local->ip, server_port_};
    return std::nullopt;
  };
  Run();
  {
    UniqueFd fd = Blocking(*client_pod_->netns, {*IpAddress::Parse(kServerIp), 15006});
    ASSERT_EQ(write(fd.get(), "plain", 5), 5);
    shutdown(fd.get(), SHUT_WR);
    EXPECT_EQ(ReadAll(fd.get()), "plain");
  }
  DenyServer();
  OnLoop([this] { Publish(); });
  UniqueFd fd = Blocking(*client_pod_->netns, {*IpAddress::Parse(kServerIp), 15006});
  EXPECT_EQ(ReadAll(fd.get()), "<ECONNRESET>");
}

TEST_F(TunnelTest, PeersTunnelsDoNotCrowdOutPlainText) {
  Listen(2);
  config_.max_tunnels_per_pod = 1;
  config_.original_destination = [this](const net::Socket& socket) -> std::optional<SocketAddress> {
    const auto local = socket.LocalAddress();
    if (local && local->port == 15006) return SocketAddress{local->ip, server_port_};
    if (local && local->port == 15001) return wanted_;
    return std::nullopt;
  };
  Run();
  EXPECT_EQ(Exchange(kServerIp, server_port_, "tunnel"), "tunnel");  // it stays open, pooled
  UniqueFd fd = Blocking(*client_pod_->netns, {*IpAddress::Parse(kServerIp), 15006});
  ASSERT_EQ(write(fd.get(), "plain", 5), 5);
  shutdown(fd.get(), SHUT_WR);
  EXPECT_EQ(ReadAll(fd.get()), "plain");
}

TEST_F(TunnelTest, PeersThatNeverProveThemselvesGiveWay) {
  Listen(1);
  config_.max_handshakes_per_pod = 2;
  config_.handshake_timeout = absl::Hours(1);
  Run();
  // The server has its certificate by now, so the idle ones begin their handshakes as they come.
  UniqueFd held = Connect(kServerIp, server_port_);
  char buffer[8];
  ASSERT_EQ(write(held.get(), "ping", 4), 4);
  ASSERT_EQ(read(held.get(), buffer, sizeof buffer), 4);
  std::vector<UniqueFd> idle;
  for (int i = 0; i < 3; ++i) {
    idle.push_back(Blocking(*client_pod_->netns, {*IpAddress::Parse(kServerIp), 15008}));
  }
  EXPECT_EQ(ReadAll(idle[0].get()).find("EAGAIN"), std::string::npos) << "the oldest is still open";
  for (size_t i : {1, 2}) {
    EXPECT_EQ(recv(idle[i].get(), buffer, 1, MSG_DONTWAIT), -1);
    EXPECT_EQ(errno, EAGAIN) << i << " made way without need";
  }
}

TEST_F(TunnelTest, HandshakesOfAllPodsTogetherAreLimitedAndTheBusiestPodGivesWay) {
  config_.max_handshakes = 2;
  config_.handshake_timeout = absl::Hours(1);
  Run(true);
  // Both pods have their certificates, so that handshakes begin as they come.
  while (manager_->TryGet(client_pod_->Identity()) == nullptr ||
         manager_->TryGet(server_pod_->Identity()) == nullptr) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const auto open = [&](const std::string& ip) {
    UniqueFd fd = Blocking(*client_pod_->netns, {*IpAddress::Parse(ip), 15008});
    std::atomic<bool> settled = false;
    loop_.Post([&] { loop_.After(absl::Milliseconds(20), [&] { settled = true; }); });
    while (!settled) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return fd;
  };
  const UniqueFd first = open(kServerIp);
  const UniqueFd second = open(kServerIp);
  EXPECT_EQ(near_->handshakes(), 2u);
  const UniqueFd third = open(kClientIp);  // another pod's
  EXPECT_EQ(near_->handshakes(), 2u);
  EXPECT_EQ(ReadAll(first.get()).find("EAGAIN"), std::string::npos) << "the oldest is still open";
  char buffer[8];
  for (const UniqueFd* fd : {&second, &third}) {
    EXPECT_EQ(recv(fd->get(), buffer, 1, MSG_DONTWAIT), -1);
    EXPECT_EQ(errno, EAGAIN);
  }
  OnLoop([this] { near_->RemovePod(server_pod_->uid, Worker::Removal::kAbort); });
  EXPECT_EQ(near_->handshakes(), 1u);
}

// How a connection begins: by a tunnel, or on the same node.
class StateOfConnectionTest : public TunnelTest, public testing::WithParamInterface<bool> {};

TEST_P(StateOfConnectionTest, IsNotKeptByIt) {
  Listen(1);
  Run(GetParam());
  UniqueFd fd = OpenConnection(kServerIp, server_port_);
  const std::weak_ptr<const state::MeshState> then = store_.Publish();
  AddWorkload("other", "10.89.77.8");
  OnLoop([this] { Publish(); });
  EXPECT_TRUE(then.expired());
}
INSTANTIATE_TEST_SUITE_P(Ways, StateOfConnectionTest, testing::Bool());

TEST_F(TunnelTest, DrainWaitsForWhatRunsAndTakesNothingNew) {
  Listen(1);
  Run();
  UniqueFd fd = Connect(kServerIp, server_port_);
  char buffer[8];
  ASSERT_EQ(write(fd.get(), "ping", 4), 4);
  ASSERT_EQ(read(fd.get(), buffer, sizeof buffer), 4);
  std::atomic<bool> near_done = false, far_done = false;
  OnLoop([&] {
    near_->Drain(absl::Seconds(5), [&] { near_done = true; });
    far_->Drain(absl::Seconds(5), [&] { far_done = true; });
  });
  ASSERT_EQ(write(fd.get(), "pong", 4), 4);
  ASSERT_EQ(read(fd.get(), buffer, sizeof buffer), 4);
  EXPECT_FALSE(near_done || far_done);
  fd.Reset();
  for (int i = 0; i < 2000 && !(near_done && far_done); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(near_done && far_done);
}

TEST_F(TunnelTest, WhatWaitsToBeAcceptedWhenThePodDrainsIsServed) {
  Listen(1);
  Run();
  // So that the drain finds the tunnel in its handshake.
  while (manager_->TryGet(client_pod_->Identity()) == nullptr) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  UniqueFd fd;
  OnLoop([&] {
    fd = Connect(kServerIp, server_port_);  // the kernel's part of it: the loop is busy with this
    near_->RemovePod("client-uid", Worker::Removal::kDrain);
  });
  char buffer[8];
  EXPECT_EQ(write(fd.get(), "ping", 4), 4);
  EXPECT_EQ(read(fd.get(), buffer, sizeof buffer), 4);
}

TEST_F(TunnelTest, WithoutPortReuseOneWorkerListensForAll) {
  Listen(1);
  config_.reuse_port = false;
  Run();
  Config config = config_;
  config.listens = false;
  OnLoop([&] {
    Worker other(loop_, config, *manager_, metrics_);
    EXPECT_TRUE(other.AddPod(client_pod_).ok());
  });
  EXPECT_EQ(Exchange(kServerIp, server_port_, "x"), "x");
}

TEST_F(TunnelTest, RemovedPodEndsItsConnectionsAtOnce) {
  Listen(1);
  Run();
  UniqueFd fd = OpenConnection(kServerIp, server_port_);
  OnLoop([this] { far_->RemovePod("server-uid", Worker::Removal::kAbort); });
  EXPECT_EQ(ReadAll(fd.get()), "<ECONNRESET>");
  OnLoop([this] { EXPECT_EQ(far_->connections(), 0u); });
}

TEST_F(TunnelTest, Ipv6ThroughTheTunnelAndOnOneNode) {
  Listen(1);
  Run();
  EXPECT_EQ(Exchange(kServerIp6, server_port_, "six"), "six");
}

TEST_F(TunnelTest, ApplicationSeesItsClientThroughTheTunnel) {
  Listen(2);
  RouteMarkedReplies();
  Run();
  EXPECT_EQ(Exchange(kServerIp, server_port_, "who"), "who");
  EXPECT_EQ(server_saw_, kClientIp);
  EXPECT_EQ(Exchange(kServerIp6, server_port_, "who"), "who");
  EXPECT_EQ(server_saw_, kClientIp6);
}

TEST_F(TunnelTest, ApplicationSeesItsClientOnOneNode) {
  Listen(2);
  RouteMarkedReplies();
  Run(true);
  EXPECT_EQ(Exchange(kServerIp, server_port_, "who"), "who");
  EXPECT_EQ(server_saw_, kClientIp);
  EXPECT_EQ(Exchange(kServerIp6, server_port_, "who"), "who");
  EXPECT_EQ(server_saw_, kClientIp6);
}

TEST_F(TunnelTest, ApplicationOfTheOtherFamilySeesItsClientOfThatFamily) {
  Listen(1);
  RouteMarkedReplies();
  Run(true);
  OnLoop([this] {
    istio::workload::Address address = WorkloadOf("server");
    auto& w = *address.mutable_workload();
    w.add_addresses(Bytes(kServerIp6));
    AddPort((*w.mutable_services())[kServiceKey]);
    Put(store_, w.uid(), address);
    near_->SetState(store_.Publish());
  });
  EXPECT_EQ(Exchange(kVip, 80, "who"), "who");
  EXPECT_EQ(server_saw_, kClientIp6);
}

TEST_F(TunnelTest, OneNodeCanBeForcedThroughTheTunnel) {
  Listen(1);
  config_.force_encryption = true;
  Run(true);
  UniqueFd fd = OpenConnection(kServerIp, server_port_);
  OnLoop([this] {
    const auto active = near_->ActiveConnections();
    ASSERT_EQ(active.size(), 2u) << "one at each end of the tunnel";
    EXPECT_TRUE(active[0].hbone && active[1].hbone);
  });
}

TEST_F(TunnelTest, APeerThatWentAndCameBackIsReachedAnew) {
  Listen(3);
  Run();
  EXPECT_EQ(Exchange(kServerIp, server_port_, "one"), "one");
  for (const auto removal : {Worker::Removal::kDrain, Worker::Removal::kAbort}) {
    OnLoop([&] {
      far_->RemovePod("server-uid", removal);
      const absl::Status added = far_->AddPod(server_pod_);
      EXPECT_TRUE(added.ok()) << added;
    });
    EXPECT_EQ(Exchange(kServerIp, server_port_, "again"), "again");
  }
}

TEST_F(TunnelTest, ManyConnectionsShareTunnels) {
  constexpr int kConnections = 250;  // more than one tunnel carries
  Listen(kConnections);
  Run();
  std::vector<UniqueFd> fds;
  for (int i = 0; i < kConnections; ++i) {
    fds.push_back(Connect(kServerIp, server_port_));
    const std::string text = std::to_string(i);
    ASSERT_EQ(write(fds.back().get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  for (int i = 0; i < kConnections; ++i) {
    char buffer[16];
    const std::string text = std::to_string(i);
    ASSERT_EQ(read(fds[i].get(), buffer, sizeof buffer), static_cast<ssize_t>(text.size())) << i;
    EXPECT_EQ(std::string(buffer, text.size()), text);
  }
}

TEST_F(TunnelTest, ABlockedApplicationDelaysNobodyAndLosesNothing) {
  Listen(2);
  Run();
  UniqueFd slow = Connect(kServerIp, server_port_);
  timeval limit{0, 300'000};
  setsockopt(slow.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  // Nobody reads the echo: every buffer on the way fills, then sending stops.
  std::string sent(64 << 20, 0);
  for (size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>((i * 2654435761u) >> 11);
  size_t taken = 0;
  for (ssize_t n;
       (n = send(slow.get(), sent.data() + taken, sent.size() - taken, MSG_NOSIGNAL)) > 0;) {
    taken += static_cast<size_t>(n);
  }
  ASSERT_LT(taken, sent.size());
  EXPECT_EQ(Exchange(kServerIp, server_port_, "quick"), "quick");
  shutdown(slow.get(), SHUT_WR);
  const std::string received = ReadAll(slow.get());
  EXPECT_EQ(received.size(), taken);
  EXPECT_TRUE(received == sent.substr(0, taken));
}

TEST_F(TunnelTest, APodThatBecomesKnownInTimeIsServed) {
  Listen(1);
  config_.workload_wait = absl::Seconds(20);
  Run();
  OnLoop([this] {
    store_.RemoveAddress("k//Pod/default/client");
    near_->SetState(store_.Publish());
  });
  UniqueFd fd = Connect(kServerIp, server_port_);
  OnLoop([this] { EXPECT_EQ(near_->connections(), 1u); });
  OnLoop([this] {
    AddWorkload("other", "10.89.77.3");  // a state that does not know it either
    near_->SetState(store_.Publish());
  });
  OnLoop([this] {
    AddWorkload("client", kClientIp);
    near_->SetState(store_.Publish());
  });
  char buffer[8];
  ASSERT_EQ(write(fd.get(), "ping", 4), 4);
  EXPECT_EQ(read(fd.get(), buffer, sizeof buffer), 4);
}

TEST_F(TunnelTest, UnknownPodIsRefused) {
  Listen(0);
  Run();
  OnLoop([this] {
    store_.RemoveAddress("k//Pod/default/client");
    near_->SetState(store_.Publish());
  });
  EXPECT_TRUE(WasReset(Exchange(kServerIp, server_port_, "x")));
}

TEST_F(TunnelTest, APeerWithAnotherIdentityIsRefused) {
  Listen(0);
  Run();
  OnLoop([this] {
    // The mesh says that another account runs at that address; its certificate says otherwise.
    istio::workload::Address address;
    auto& w = *address.mutable_workload();
    w.set_uid("k//Pod/default/server");
    w.set_name("server");
    w.set_namespace_("default");
    w.set_service_account("impostor");
    w.add_addresses(Bytes(kServerIp));
    w.set_tunnel_protocol(istio::workload::HBONE);
    ASSERT_TRUE(store_.UpsertAddress(w.uid(), address).ok());
    near_->SetState(store_.Publish());
  });
  EXPECT_TRUE(WasReset(Exchange(kServerIp, server_port_, "x")));
}

}  // namespace
}  // namespace mesh::tunnel
