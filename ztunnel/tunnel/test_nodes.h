// For tests: two workers of two nodes (or one of one), real sockets in real namespaces,
// certificates of a local authority. Needs root.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <thread>

#include "proto/authorization.pb.h"
#include "proto/workload.pb.h"
#include "ztunnel/base/status.h"
#include "ztunnel/core/identity/local_authority.h"
#include "ztunnel/core/net/connect.h"
#include "ztunnel/core/telemetry/access_log.h"
#include "ztunnel/core/telemetry/registry.h"
#include "ztunnel/core/telemetry/shard.h"
#include "ztunnel/tunnel/worker.h"

namespace mesh::tunnel {

inline const std::string kClientIp = "10.89.77.1";
inline const std::string kServerIp = "10.89.77.2";
inline const std::string kClientIp6 = "fd00:89:77::1";
inline const std::string kServerIp6 = "fd00:89:77::2";
inline const std::string kVip = "10.96.77.7";

inline int Shell(const std::string& command) {
  return system((command + " >/dev/null 2>&1").c_str());
}

inline std::string Bytes(std::string_view ip) { return IpAddress::Parse(ip)->ToBytes(); }

// Two namespaces on one wire; gone with the object.
struct Wire {
  std::string a = "tt" + std::to_string(getpid()) + "a";
  std::string b = "tt" + std::to_string(getpid()) + "b";
  bool ok = false;
  Wire() {
    ok = Shell("ip netns add " + a) == 0 && Shell("ip netns add " + b) == 0 &&
         Shell("ip -n " + a + " link add eth0 type veth peer name eth0 netns " + b) == 0;
    const std::pair<std::string, std::string> sides[] = {{a, kClientIp}, {b, kServerIp}};
    for (const auto& [ns, ip] : sides) {
      ok = ok && Shell("ip -n " + ns + " addr add " + ip + "/24 dev eth0") == 0 &&
           Shell("ip -n " + ns + " addr add " + (ns == a ? kClientIp6 : kServerIp6) +
                 "/64 dev eth0 nodad") == 0 &&
           Shell("ip -n " + ns + " link set eth0 up") == 0 &&
           Shell("ip -n " + ns + " link set lo up") == 0;
    }
  }
  ~Wire() {
    Shell("ip netns del " + a);
    Shell("ip netns del " + b);
  }
};

inline UniqueFd Blocking(const Netns& netns, const SocketAddress& to) {
  auto fd = netns.Run([&]() -> absl::StatusOr<UniqueFd> {
    UniqueFd s(socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_storage storage{};
    const socklen_t length = to.ToSockaddr(storage, to.family());
    if (connect(s.get(), reinterpret_cast<sockaddr*>(&storage), length) != 0)
      return Errno(errno, "connect");
    return s;
  });
  EXPECT_TRUE(fd.ok()) << fd.status();
  timeval limit{5, 0};
  setsockopt(fd->get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd->get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  return std::move(*fd);
}

class TunnelTest : public testing::Test {
 protected:
  void SetUp() override {
    if (getuid() != 0) GTEST_SKIP() << "SKIPPED: needs root";
    wire_ = std::make_unique<Wire>();
    ASSERT_TRUE(wire_->ok);
    client_pod_ = MakePod("client", wire_->a);
    server_pod_ = MakePod("server", wire_->b);
    config_.cluster_id = "k";
    config_.original_source = false;
    config_.workload_wait = absl::Milliseconds(200);
    config_.original_destination =
        [this](const net::Socket& socket) -> std::optional<SocketAddress> {
      const auto local = socket.LocalAddress();
      if (local && local->port == 15001) return wanted_;
      return std::nullopt;
    };
    manager_ = std::make_unique<identity::CertificateManager>(
        authority_, identity::CertificateManager::Options{});
    manager_->Retain(client_pod_->Identity());
    manager_->Retain(server_pod_->Identity());
  }

  // Starts the loop; what is set on config_ and store_ before counts.
  void Run(bool one_process = false) {
    near_ = std::make_unique<Worker>(loop_, config_, *manager_, metrics_);
    far_ = one_process ? nullptr : std::make_unique<Worker>(loop_, config_, *manager_, metrics_);
    Publish();
    ASSERT_TRUE(near_->AddPod(client_pod_).ok());
    const absl::Status added = (one_process ? near_ : far_)->AddPod(server_pod_);
    ASSERT_TRUE(added.ok()) << added;
    thread_ = std::thread([this] { loop_.Run(); });
  }

  void Publish() {
    AddWorkload("client", kClientIp);
    AddWorkload("server", kServerIp);
    AddService();
    state::MeshStateRef state = store_.Publish();
    near_->SetState(state);
    if (far_) far_->SetState(state);
  }

  void OnLoop(std::function<void()> fn) {
    std::atomic<bool> done = false;
    loop_.Post([&] {
      fn();
      done = true;
    });
    while (!done) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  void TearDown() override {
    if (thread_.joinable()) {
      OnLoop([this] {
        near_.reset();
        far_.reset();
      });
      loop_.Stop();
      thread_.join();
    }
    if (echo_.joinable()) echo_.join();
    manager_.reset();
  }

  PodRef MakePod(const std::string& name, const std::string& netns) {
    auto ns = Netns::Open("/run/netns/" + netns);
    EXPECT_TRUE(ns.ok()) << ns.status();
    return std::make_shared<const Pod>(Pod{name + "-uid", name, "default", name, "cluster.local",
                                           std::make_shared<const Netns>(std::move(*ns))});
  }

  static constexpr const char* kHost = "server.default.svc.cluster.local";
  static constexpr const char* kServiceKey = "default/server.default.svc.cluster.local";

  static istio::workload::Address WorkloadOf(const std::string& name) {
    istio::workload::Address address;
    auto& w = *address.mutable_workload();
    w.set_uid("k//Pod/default/" + name);
    w.set_name(name);
    w.set_namespace_("default");
    w.set_service_account(name);
    w.set_workload_name(name);
    w.set_canonical_name(name);
    w.set_tunnel_protocol(istio::workload::HBONE);
    return address;
  }

  // The service `server`, which maps port 80 to where Listen() listens.
  istio::workload::Address ServiceOf(const std::string& network) const {
    istio::workload::Address address;
    auto& s = *address.mutable_service();
    s.set_name("server");
    s.set_namespace_("default");
    s.set_hostname(kHost);
    auto& vip = *s.add_addresses();
    vip.set_address(Bytes(kVip));
    vip.set_network(network);
    AddPort(s);
    return address;
  }
  // The same mapping, at a service or among an endpoint's.
  template <typename Ports>
  void AddPort(Ports& ports) const {
    auto& port = *ports.add_ports();
    port.set_service_port(80);
    port.set_target_port(server_port_);
  }

  static void Put(state::StateStore& store, const std::string& key,
                  const istio::workload::Address& address) {
    const absl::Status status = store.UpsertAddress(key, address);
    EXPECT_TRUE(status.ok()) << status;
  }

  void AddWorkload(const std::string& name, const std::string& ip) {
    istio::workload::Address address = WorkloadOf(name);
    auto& w = *address.mutable_workload();
    w.add_addresses(Bytes(ip));
    w.add_addresses(Bytes(name == "server" ? kServerIp6 : kClientIp6));
    if (name == "server") {
      AddPort((*w.mutable_services())[kServiceKey]);
      w.set_node(server_node_);
      for (const std::string& policy : policies_) w.add_authorization_policies(policy);
    }
    Put(store_, w.uid(), address);
  }

  void AddService() { Put(store_, kServiceKey, ServiceOf("")); }

  void DenyServer() {
    istio::security::Authorization policy;
    policy.set_name("deny");
    policy.set_namespace_("default");
    policy.set_scope(istio::security::WORKLOAD_SELECTOR);
    policy.set_action(istio::security::DENY);
    auto& match = *policy.add_groups()->add_rules()->add_matches();
    match.add_destination_ports(server_port_);
    const absl::Status status = store_.UpsertPolicy("default/deny", policy);
    ASSERT_TRUE(status.ok()) << status;
    policies_ = {"default/deny"};
  }

  // The far worker does not know the client, and when it asks for it, `change` comes first.
  void ChangeWhileThePeerIsAskedFor(std::function<void()> change) {
    OnLoop([&] {
      store_.RemoveAddress("k//Pod/default/client");
      far_->SetState(store_.Publish());
      far_->SetDemand(
          [this, change](std::string, base::EventLoop& loop, std::function<void(bool)> done) {
            change();
            far_->SetState(store_.Publish());
            loop.Post([done = std::move(done)] { done(true); });
          });
    });
  }

  // What the node agent does in a pod, so that replies to foreign addresses come back to the proxy.
  void RouteMarkedReplies() {
    config_.original_source = true;
    const std::string in_pod = "ip netns exec " + wire_->b + " ";
    for (const std::string family : {"-4", "-6"}) {
      ASSERT_EQ(Shell("ip -n " + wire_->b + " " + family + " rule add fwmark 0x539 lookup 100"), 0);
      ASSERT_EQ(
          Shell("ip -n " + wire_->b + " " + family + " route add local default dev lo table 100"),
          0);
    }
    ASSERT_EQ(Shell(in_pod + "sysctl -w net.ipv4.tcp_fwmark_accept=1"), 0);
  }

  // A server in the server's pod: sends each connection's bytes back; with `greeting` it speaks
  // first.
  void Listen(int connections = 1, std::string greeting = "") {
    auto fd = server_pod_->netns->Run([]() -> absl::StatusOr<UniqueFd> {
      UniqueFd s(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
      sockaddr_in6 any{};
      any.sin6_family = AF_INET6;
      if (bind(s.get(), reinterpret_cast<sockaddr*>(&any), sizeof any) != 0 ||
          listen(s.get(), 64) != 0) {
        return Errno(errno, "listen");
      }
      return s;
    });
    ASSERT_TRUE(fd.ok());
    sockaddr_in6 bound{};
    socklen_t length = sizeof bound;
    getsockname(fd->get(), reinterpret_cast<sockaddr*>(&bound), &length);
    server_port_ = ntohs(bound.sin6_port);
    echo_ = std::thread([this, connections, greeting, listener = std::move(*fd)] {
      std::vector<std::thread> serving;
      for (int i = 0; i < connections; ++i) {
        pollfd waiting{listener.get(), POLLIN, 0};
        if (poll(&waiting, 1, 3000) <= 0) break;
        sockaddr_storage from{};
        socklen_t from_length = sizeof from;
        const int c =
            accept4(listener.get(), reinterpret_cast<sockaddr*>(&from), &from_length, SOCK_CLOEXEC);
        server_saw_ = SocketAddress::FromSockaddr(from)->ip.ToString();
        serving.emplace_back([this, c, greeting] {
          if (!greeting.empty()) (void)!write(c, greeting.data(), greeting.size());
          std::vector<char> buffer(65536);
          for (;;) {
            const ssize_t n = read(c, buffer.data(), buffer.size());
            if (n < 0) server_saw_reset_ = errno == ECONNRESET;
            if (n <= 0) break;
            for (ssize_t done = 0; done < n;) {
              const ssize_t w =
                  send(c, buffer.data() + done, static_cast<size_t>(n - done), MSG_NOSIGNAL);
              if (w <= 0) break;
              done += w;
            }
          }
          close(c);
        });
      }
      for (auto& t : serving) t.join();
    });
  }

  UniqueFd Connect(const std::string& ip, uint16_t port) {
    wanted_ = SocketAddress{*IpAddress::Parse(ip), port};
    return Blocking(*client_pod_->netns, {IpAddress::V4(0x7f000001), 15001});
  }

  // A connection over which a byte has gone there and back.
  UniqueFd OpenConnection(const std::string& ip, uint16_t port) {
    UniqueFd fd = Connect(ip, port);
    char buffer[8];
    EXPECT_EQ(write(fd.get(), "ping", 4), 4);
    EXPECT_EQ(read(fd.get(), buffer, sizeof buffer), 4);
    return fd;
  }

  static std::string ReadAll(int fd) {
    std::string all;
    char buffer[65536];
    ssize_t n;
    while ((n = read(fd, buffer, sizeof buffer)) > 0) all.append(buffer, static_cast<size_t>(n));
    if (n < 0) all += "<" + std::string(strerrorname_np(errno)) + ">";
    return all;
  }

  // The kernel tells a reset to one call only; when that was the send, the read just ends.
  static bool WasReset(const std::string& read) { return read.empty() || read == "<ECONNRESET>"; }

  std::string Exchange(const std::string& ip, uint16_t port, std::string_view text) {
    UniqueFd fd = Connect(ip, port);
    // A refusal may have come already: what the read says is what counts.
    (void)send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL);
    shutdown(fd.get(), SHUT_WR);
    return ReadAll(fd.get());
  }

  // Sends `bytes` and a FIN while it reads to the end.
  static std::string SendAndReadAll(int fd, const std::string& bytes) {
    std::thread writer([&] {
      for (size_t done = 0; done < bytes.size();) {
        const ssize_t n = send(fd, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
        if (n <= 0) break;
        done += static_cast<size_t>(n);
      }
      shutdown(fd, SHUT_WR);
    });
    std::string received = ReadAll(fd);
    writer.join();
    return received;
  }

  // Connections that ended for this reason, as their source counts them.
  uint64_t Ended(mesh_reason reason) {
    uint64_t count = 0;
    OnLoop([&] {
      count =
          metrics_.shard().closed_by_reason[static_cast<int>(telemetry::Reporter::kSource)][reason];
    });
    return count;
  }

  std::unique_ptr<Wire> wire_;
  PodRef client_pod_, server_pod_;
  base::EventLoop loop_;
  Config config_;
  SocketAddress wanted_;
  uint16_t server_port_ = 0;
  std::vector<std::string> policies_;
  std::string server_node_;
  std::atomic<bool> server_saw_reset_ = false;
  std::string server_saw_;  // the last client's address; read after an exchange
  identity::LocalAuthority authority_;
  std::unique_ptr<identity::CertificateManager> manager_;
  telemetry::MetricsRegistry registry_;
  telemetry::AccessLog log_{registry_};
  telemetry::WorkerMetrics metrics_{registry_, log_};
  state::StateStore store_;
  std::unique_ptr<Worker> near_, far_;
  std::thread thread_, echo_;
};

}  // namespace mesh::tunnel
