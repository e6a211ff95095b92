// What a peer is answered, request by request: the recorded answers of Istio's ztunnel, except
// where we are stricter and say so.
#include <gtest/gtest.h>

#include "ztunnel/base/async/task_set.h"
#include "ztunnel/core/hbone/pool.h"
#include "ztunnel/core/hbone/proxy_protocol.h"
#include "ztunnel/tunnel/test_nodes.h"

namespace mesh::tunnel {
namespace {

struct Probe final : h2::StreamHandler {
  Probe(base::EventLoop& loop, size_t bytes) : answered(loop), enough(loop), wanted(bytes) {
    if (bytes == 0) enough.Set();
  }
  void OnHeaders(const h2::Headers& headers) override {
    status = h2::Find(headers, ":status");
    baggage = h2::Find(headers, "baggage");
    answered.Set();
  }
  void OnData(std::span<const std::byte> data) override {
    received.append(reinterpret_cast<const char*>(data.data()), data.size());
    if (received.size() >= wanted) enough.Set();
  }
  void OnEnd() override {}
  void OnClosed(uint32_t code) override {
    close_code = static_cast<int>(code);
    closed = true;
    answered.Set();
  }
  Produced Produce(std::span<std::byte>) override { return {Produced::Kind::kBlocked}; }
  base::Event answered, enough;
  const size_t wanted;  // of the body
  std::string status, baggage, received;
  int close_code = -1;
  bool closed = false;
};

struct Reply {
  std::string status, baggage, body;
  size_t wanted = 0;  // bytes of the body that are waited for
  std::atomic<bool> done = false;
};

base::Task<void> Ask(base::EventLoop& loop, hbone::Pool& pool, hbone::PoolKey key,
                     h2::Headers headers, Reply& reply) {
  Probe probe(loop, reply.wanted);
  absl::StatusOr<hbone::OpenedStream> stream =
      co_await pool.Open(std::move(key), std::move(headers), probe);
  if (!stream.ok()) {
    reply.status = stream.status().ToString();
  } else {
    co_await probe.answered.Wait(absl::Seconds(5));
    if (probe.status == "200") co_await probe.enough.Wait(absl::Seconds(5));
    reply.status =
        probe.status.empty() ? "reset " + std::to_string(probe.close_code) : probe.status;
    reply.baggage = probe.baggage;
    reply.body = probe.received;
    if (!probe.closed) {
      stream->connection->Detach(stream->id);
      stream->connection->Reset(stream->id, h2::kCancel);
    }
  }
  reply.done = true;
}

class AnswersTest : public TunnelTest {
 protected:
  // A client's side of tunnels to the server's pod.
  struct Peer {
    net::SharedBuffers buffers;
    identity::PeerVerifier verifier;
    std::unique_ptr<hbone::Pool> pool;
    base::TaskSet tasks;
  };
  std::unique_ptr<Peer> NewPeer() {
    auto peer = std::make_unique<Peer>();
    OnLoop([&] {
      peer->pool = std::make_unique<hbone::Pool>(loop_, peer->buffers, *manager_, peer->verifier,
                                                 client_pod_->netns.get(), hbone::Pool::Options{});
    });
    return peer;
  }
  void End(Peer& peer) {
    OnLoop([&] {
      peer.tasks.CancelAll();
      peer.pool.reset();
    });
  }
  // `first` runs in the same turn, before the request is made.
  void Request(Peer& peer, h2::Headers headers, Reply& reply, std::function<void()> first = {}) {
    OnLoop([&] {
      if (first) first();
      hbone::PoolKey key{client_pod_->Identity(),
                         {server_pod_->Identity()},
                         {*IpAddress::Parse(kServerIp), 15008},
                         std::nullopt};
      peer.tasks.Start(Ask(loop_, *peer.pool, std::move(key), headers, reply));
    });
    while (!reply.done) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  std::string Answer(const std::string& authority, const std::string& method = "CONNECT",
                     size_t body = 0) {
    h2::Headers headers = {{":method", method}, {":authority", authority}};
    if (method != "CONNECT") {
      headers.push_back({":scheme", "https"});
      headers.push_back({":path", "/"});
    }
    Reply reply;
    reply.wanted = body;
    const auto peer = NewPeer();
    Request(*peer, headers, reply);
    End(*peer);
    baggage_ = reply.baggage;
    body_ = reply.body;
    return reply.status;
  }
  std::string baggage_, body_;
};

TEST_F(AnswersTest, EachRequestItsStatus) {
  Listen(2);
  config_.illegal_ports = {15000, 15020, 15021, 15053};
  Run();
  const std::string pod = kServerIp + ":";
  EXPECT_EQ(Answer(pod + std::to_string(server_port_)), "200");
  EXPECT_EQ(baggage_,
            "k8s.cluster.name=Kubernetes,k8s.namespace.name=default,k8s.deployment.name=server,"
            "service.name=server");
  EXPECT_EQ(Answer("server.default.svc.cluster.local:80"), "200");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {pod + "7999", "503"},        // nobody listens
      {"10.244.2.21:7000", "400"},  // another pod
      {"127.0.0.1:7000", "400"},
      {kVip + ":80", "400"},
      {"server.default.svc.cluster.local:81", "503"},
      {"nosuch.default.svc.cluster.local:80", "503"},
      {pod + "15008", "503"},
      {pod + "15006", "503"},
      {pod + "15001", "503"},
      {pod + "15000", "503"},
      {pod + "15020", "503"},
      {pod + "15021", "503"},
      {pod + "15053", "503"},
      {kServerIp, "400"},
      {pod + "0", "503"},
      {pod + "70000", "400"},
      {"abc", "400"},
      {"[::ffff:" + kServerIp + "]:7000", "400"},
      {"[2001:db8::1]:7000", "400"},
  };
  for (const auto& [authority, status] : cases) EXPECT_EQ(Answer(authority), status) << authority;
  EXPECT_EQ(Answer(pod + "7000", "GET"), "400");
  EXPECT_EQ(Answer(pod + "7000", "POST"), "400");
  // A service that this pod does not back: the reference serves it, we do not.
  istio::workload::Address other;
  other.mutable_service()->set_name("near");
  other.mutable_service()->set_namespace_("default");
  other.mutable_service()->set_hostname("near.default.svc.cluster.local");
  auto& port = *other.mutable_service()->add_ports();
  port.set_service_port(80);
  port.set_target_port(server_port_);
  OnLoop([&] {
    ASSERT_TRUE(store_.UpsertAddress("default/near.default.svc.cluster.local", other).ok());
    Publish();
  });
  EXPECT_EQ(Answer("near.default.svc.cluster.local:80"), "400");
}

TEST_F(AnswersTest, PolicyIs401) {
  Listen(0);
  DenyServer();
  Run();
  EXPECT_EQ(Answer(kServerIp + ":" + std::to_string(server_port_)), "401");
}

// As the proxy serves its own metrics.
TEST_F(AnswersTest, APolicyThatComesWhileThePeerIsAskedForCounts) {
  Listen(0);
  Run();
  ChangeWhileThePeerIsAskedFor([this] {
    DenyServer();
    AddWorkload("server", kServerIp);
  });
  EXPECT_EQ(Answer(kServerIp + ":" + std::to_string(server_port_)), "401");
}

TEST_F(AnswersTest, APodThatLeavesWhileThePeerIsAskedForIsNotServed) {
  Listen(1);
  Run();
  ChangeWhileThePeerIsAskedFor([this] { store_.RemoveAddress("k//Pod/default/server"); });
  EXPECT_EQ(Answer(kServerIp + ":" + std::to_string(server_port_)), "503");
}

TEST_F(AnswersTest, APodWithOnePortIsReachedThereAndByTunnelAlone) {
  Listen(2);
  RouteMarkedReplies();
  auto own = std::make_shared<Pod>(*server_pod_);
  own->only_port = server_port_;
  server_pod_ = own;
  Run();
  EXPECT_EQ(Answer(kServerIp + ":" + std::to_string(server_port_)), "200");
  EXPECT_EQ(server_saw_, kServerIp) << "not in the client's name";
  EXPECT_EQ(Answer("server.default.svc.cluster.local:80"), "200");
  EXPECT_EQ(Answer(kServerIp + ":" + std::to_string(server_port_ == 7999 ? 7998 : 7999)), "503");
  for (const uint16_t port : {15001, 15006}) {
    const auto connected = server_pod_->netns->Run([&]() -> absl::StatusOr<int> {
      UniqueFd s(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      sockaddr_storage to{};
      const SocketAddress address{IpAddress::V4(0x7f000001), port};
      const socklen_t length = address.ToSockaddr(to, AF_INET);
      return connect(s.get(), reinterpret_cast<sockaddr*>(&to), length) == 0 ? 0 : errno;
    });
    EXPECT_EQ(connected.value(), ECONNREFUSED) << port;
  }
}

TEST_F(AnswersTest, ARequestOnItsWayWhenThePodDrainsIsServed) {
  Listen(2);
  Run();
  const h2::Headers headers = {{":method", "CONNECT"},
                               {":authority", kServerIp + ":" + std::to_string(server_port_)}};
  const auto peer = NewPeer();
  Reply first, second;
  Request(*peer, headers, first);
  EXPECT_EQ(first.status, "200");
  const auto busy = [this] {
    size_t n = 0;
    OnLoop([&] { n = far_->connections(); });
    return n > 0;
  };
  for (int i = 0; i < 2000 && busy(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  Request(*peer, headers, second,
          [this] { far_->RemovePod("server-uid", Worker::Removal::kDrain); });
  EXPECT_EQ(second.status, "200");
  End(*peer);
}

class ApplicationTunnelTest : public AnswersTest {
 protected:
  // The server's application wants PROXY headers, at its own port, for whatever is asked for.
  void RunTunnelled() {
    Run();
    istio::workload::Address address = WorkloadOf("server");
    auto& w = *address.mutable_workload();
    w.add_addresses(Bytes(kServerIp));
    w.mutable_application_tunnel()->set_protocol(istio::workload::ApplicationTunnel::PROXY);
    w.mutable_application_tunnel()->set_port(server_port_);
    for (const std::string& policy : policies_) w.add_authorization_policies(policy);
    OnLoop([&] {
      Put(store_, w.uid(), address);
      far_->SetState(store_.Publish());
    });
  }
};

TEST_F(ApplicationTunnelTest, ServesOthersAndIsToldWhom) {
  Listen(1);
  RunTunnelled();
  const auto header = [this](uint16_t port) {
    return hbone::ProxyProtocolHeader({*IpAddress::Parse(kClientIp), port},
                                      {*IpAddress::Parse("10.244.2.21"), 7000},
                                      client_pod_->Identity());
  };
  // The application sends back what it got.
  EXPECT_EQ(Answer("10.244.2.21:7000", "CONNECT", header(0).size()), "200");
  constexpr size_t kSourcePort = 24;
  ASSERT_EQ(body_.size(), header(0).size());
  const auto byte = [this](size_t i) { return static_cast<uint8_t>(body_[i]); };
  const auto port = static_cast<uint16_t>(byte(kSourcePort) << 8 | byte(kSourcePort + 1));
  EXPECT_EQ(body_, header(port));
}

TEST_F(ApplicationTunnelTest, PolicyIsAskedAboutTheApplicationsPort) {
  Listen(0);
  DenyServer();
  RunTunnelled();
  EXPECT_EQ(Answer("10.244.2.21:7000"), "401");
}

}  // namespace
}  // namespace mesh::tunnel
