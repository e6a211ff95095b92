// What a peer is answered, request by request: the recorded answers of Istio's ztunnel, except
// where we are stricter and say so.
#include <gtest/gtest.h>

#include "ztunnel/base/async/task_set.h"
#include "ztunnel/core/hbone/pool.h"
#include "ztunnel/tunnel/test_nodes.h"

namespace mesh::tunnel {
namespace {

struct Probe final : h2::StreamHandler {
  explicit Probe(base::EventLoop& loop) : answered(loop) {}
  void OnHeaders(const h2::Headers& headers) override {
    status = h2::Find(headers, ":status");
    baggage = h2::Find(headers, "baggage");
    answered.Set();
  }
  void OnData(std::span<const std::byte>) override {}
  void OnEnd() override {}
  void OnClosed(uint32_t code) override {
    close_code = static_cast<int>(code);
    closed = true;
    answered.Set();
  }
  Produced Produce(std::span<std::byte>) override { return {Produced::Kind::kBlocked}; }
  base::Event answered;
  std::string status, baggage;
  int close_code = -1;
  bool closed = false;
};

base::Task<void> Ask(base::EventLoop& loop, hbone::Pool& pool, hbone::PoolKey key,
                     h2::Headers headers, std::string& status, std::string& baggage,
                     std::atomic<bool>& done) {
  Probe probe(loop);
  absl::StatusOr<hbone::OpenedStream> stream =
      co_await pool.Open(std::move(key), std::move(headers), probe);
  if (!stream.ok()) {
    status = stream.status().ToString();
  } else {
    co_await probe.answered.Wait(absl::Seconds(5));
    status = probe.status.empty() ? "reset " + std::to_string(probe.close_code) : probe.status;
    baggage = probe.baggage;
    if (!probe.closed) {
      stream->connection->Detach(stream->id);
      stream->connection->Reset(stream->id, h2::kCancel);
    }
  }
  done = true;
}

class AnswersTest : public TunnelTest {
 protected:
  std::string Answer(const std::string& authority, const std::string& method = "CONNECT") {
    h2::Headers headers = {{":method", method}, {":authority", authority}};
    if (method != "CONNECT") {
      headers.push_back({":scheme", "https"});
      headers.push_back({":path", "/"});
    }
    std::string status;
    std::atomic<bool> done = false;
    base::TaskSet tasks;
    net::SharedBuffers buffers;
    identity::PeerVerifier verifier;
    std::unique_ptr<hbone::Pool> pool;
    OnLoop([&] {
      pool = std::make_unique<hbone::Pool>(loop_, buffers, *manager_, verifier,
                                           client_pod_->netns.get(), hbone::Pool::Options{});
      const hbone::PoolKey key{client_pod_->Identity(),
                               {server_pod_->Identity()},
                               {*IpAddress::Parse(kServerIp), 15008},
                               std::nullopt};
      tasks.Start(Ask(loop_, *pool, key, headers, status, baggage_, done));
    });
    while (!done) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    OnLoop([&] {
      tasks.CancelAll();
      pool.reset();
    });
    return status;
  }
  std::string baggage_;
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

TEST_F(AnswersTest, AnApplicationTunnelServesOthersAndIsToldWhom) {
  Listen(1);
  Run();
  istio::workload::Address address;
  auto& w = *address.mutable_workload();
  w.set_uid("k//Pod/default/server");
  w.set_name("server");
  w.set_namespace_("default");
  w.set_service_account("server");
  w.add_addresses(Bytes(kServerIp));
  w.set_tunnel_protocol(istio::workload::HBONE);
  w.mutable_application_tunnel()->set_protocol(istio::workload::ApplicationTunnel::PROXY);
  w.mutable_application_tunnel()->set_port(server_port_);
  OnLoop([&] {
    ASSERT_TRUE(store_.UpsertAddress(w.uid(), address).ok());
    far_->SetState(store_.Publish());
  });
  EXPECT_EQ(Answer("10.244.2.21:7000"), "200");
}

}  // namespace
}  // namespace mesh::tunnel
