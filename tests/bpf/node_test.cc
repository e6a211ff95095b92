// What pods, their daemon and strangers see on a node whose agent is real.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/bpf/node_world.h"
#include "ztunnel/base/ip.h"
#include "ztunnel/base/unique_fd.h"

namespace mesh::test {
namespace {

struct Ask {
  std::string to;  // ADDRESS:PORT
  int family = 0;  // of the socket; 0: of the address
  int type = SOCK_STREAM;
  bool connected = true;
  uint32_t mark = 0;
  int protocol = 0;
};

// What the other end says, and who it seems to be; or the error.
std::string Do(const Ask& ask) {
  const auto to = SocketAddress::Parse(ask.to);
  const int family = ask.family != 0 ? ask.family : to->family();
  UniqueFd fd(::socket(family, ask.type, ask.protocol));
  if (!fd) return std::string("socket: ") + ::strerrorname_np(errno);
  const timeval limit = {.tv_sec = 3, .tv_usec = 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  if (ask.mark != 0 &&
      ::setsockopt(fd.get(), SOL_SOCKET, SO_MARK, &ask.mark, sizeof(ask.mark)) != 0)
    return "no mark";
  sockaddr_storage storage;
  socklen_t length = to->ToSockaddr(storage, family);
  const auto* address = reinterpret_cast<sockaddr*>(&storage);
  if (ask.connected) {
    if (::connect(fd.get(), address, length) != 0)
      return std::string("connect: ") + ::strerrorname_np(errno);
    if (ask.type == SOCK_DGRAM) ::send(fd.get(), "?", 1, 0);
  } else if (::sendto(fd.get(), "?", 1, 0, address, length) < 0) {
    return std::string("sendto: ") + ::strerrorname_np(errno);
  }
  char buffer[512];
  length = sizeof(storage);
  const ssize_t n = ask.connected ? ::recv(fd.get(), buffer, sizeof(buffer), 0)
                                  : ::recvfrom(fd.get(), buffer, sizeof(buffer), 0,
                                               reinterpret_cast<sockaddr*>(&storage), &length);
  if (n < 0) return std::string("recv: ") + ::strerrorname_np(errno);
  std::string text(buffer, static_cast<size_t>(n));
  if (!text.empty() && text.back() == '\n') text.pop_back();
  length = sizeof(storage);
  if (ask.connected) ::getpeername(fd.get(), reinterpret_cast<sockaddr*>(&storage), &length);
  return text + " | peer " + SocketAddress::FromSockaddr(storage)->ToString();
}

// An application: says who connects, to everyone.
[[noreturn]] void ServeApp(uint16_t port) {
  const int listener = ::socket(AF_INET6, SOCK_STREAM, 0);
  sockaddr_in6 any = {};
  any.sin6_family = AF_INET6;
  any.sin6_port = htons(port);
  if (::bind(listener, reinterpret_cast<sockaddr*>(&any), sizeof(any)) != 0) ::_exit(4);
  ::listen(listener, 64);
  for (;;) {
    sockaddr_storage peer;
    socklen_t length = sizeof(peer);
    const int fd = ::accept(listener, reinterpret_cast<sockaddr*>(&peer), &length);
    const std::string text = "app sees " + SocketAddress::FromSockaddr(peer)->ip.ToString();
    [[maybe_unused]] const ssize_t n = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    ::close(fd);
  }
}

constexpr const char* kAmbient =
    "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  labels: {istio.io/dataplane-mode: "
    "ambient}\n";
constexpr const char* kOutside = "apiVersion: v1\nkind: Namespace\nmetadata: {name: outside}\n";

std::string Address(const std::string& pod, int family, int port) {
  const std::string ip = NodeWorld::Ip(pod, family);
  return (family == 6 ? "[" + ip + "]" : ip) + ":" + std::to_string(port);
}

class Node : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (::geteuid() != 0) return;
    world_ = new NodeWorld();
    if (!world_->problem().empty()) return;
    for (const char* pod : {"server", "stranger", "client"}) {
      apps_.push_back(SpawnIn(world_->Pod(pod), [] { ServeApp(8080); }));
    }
    world_->WriteManifest("shop.yaml", kAmbient);
    world_->WriteManifest("outside.yaml", kOutside);
    world_->StartAgent();
    world_->StartDaemon();
    world_->WritePod("client", "");
    world_->WritePod("server", "");
    world_->WritePod("stranger", "");
    for (const char* pod : {"client", "server", "stranger"}) {
      EXPECT_EQ(world_->CniAdd(pod), "HTTP/1.1 200 OK");
    }
  }
  static void TearDownTestSuite() {
    for (int& pid : apps_) Kill(pid, SIGKILL);
    delete world_;
    world_ = nullptr;
  }
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "SKIPPED: needs root";
    ASSERT_EQ(world_->problem(), "");
    ASSERT_TRUE(world_->WaitState("client", "enrolled")) << world_->Admin("/status");
    ASSERT_TRUE(world_->WaitState("server", "enrolled")) << world_->Admin("/status");
  }
  static std::string From(const std::string& pod, const Ask& ask) {
    return RunIn(world_->Pod(pod), [ask] { return Do(ask); });
  }

  static NodeWorld* world_;
  static std::vector<int> apps_;
};
NodeWorld* Node::world_ = nullptr;
std::vector<int> Node::apps_;

TEST_F(Node, OutboundReachesTheDaemonAndThePeerLooksLikeTheDestination) {
  for (const int family : {4, 6}) {
    const std::string to = Address("stranger", family, 8080);
    EXPECT_EQ(From("client", {.to = to}), "to " + to + " | peer " + to);
  }
  // An IPv6 socket that speaks IPv4.
  const std::string to = Address("stranger", 4, 8080);
  EXPECT_EQ(From("client", {.to = to, .family = AF_INET6}), "to " + to + " | peer " + to);
  // Service addresses that no interface has.
  EXPECT_EQ(From("client", {.to = "10.96.0.7:9080"}), "to 10.96.0.7:9080 | peer 10.96.0.7:9080");
}

TEST_F(Node, AMarkExemptsNobody) {
  const std::string to = Address("stranger", 4, 8080);
  EXPECT_EQ(From("client", {.to = to, .mark = 0x539}), "to " + to + " | peer " + to);
}

TEST_F(Node, LoopbackAndThePodsOwnAddressAreLeftAlone) {
  EXPECT_EQ(From("client", {.to = "127.0.0.1:8080"}), "app sees 127.0.0.1 | peer 127.0.0.1:8080");
  for (const int family : {4, 6}) {
    const std::string own = Address("client", family, 8080);
    EXPECT_EQ(From("client", {.to = own}),
              "app sees " + NodeWorld::Ip("client", family) + " | peer " + own);
  }
}

TEST_F(Node, PodsOutsideTheMeshAreLeftAlone) {
  EXPECT_TRUE(world_->WaitState("stranger", "not_enrolled"));
  EXPECT_NE(world_->Admin("/status").find("neither the pod nor its namespace"), std::string::npos);
  const std::string own = Address("stranger", 4, 8080);
  EXPECT_EQ(From("stranger", {.to = own}),
            "app sees " + NodeWorld::Ip("stranger", 4) + " | peer " + own);
}

TEST_F(Node, DnsOverUdpReachesTheDaemonAndTheAnswerComesFromTheServerAsked) {
  for (const char* server : {"10.96.0.10:53", "[fd00:10:96::a]:53", "10.96.0.11:53"}) {
    for (const bool connected : {true, false}) {
      EXPECT_EQ(From("client", {.to = server, .type = SOCK_DGRAM, .connected = connected}),
                "server " + std::string(server) + " | peer " + server)
          << "connected " << connected;
    }
  }
  for (const bool connected : {true, false}) {
    EXPECT_EQ(From("client", {.to = "10.96.0.10:53",
                              .family = AF_INET6,
                              .type = SOCK_DGRAM,
                              .connected = connected}),
              "server 10.96.0.10:53 | peer 10.96.0.10:53");
  }
}

TEST_F(Node, TwoAskersAreNotMistakenForEachOther) {
  const std::string both = RunIn(world_->Pod("client"), [] {
    const auto open = [](const char* server) {
      const int fd = ::socket(AF_INET, SOCK_DGRAM, 0);
      sockaddr_storage storage;
      const socklen_t length = SocketAddress::Parse(server)->ToSockaddr(storage, AF_INET);
      return ::connect(fd, reinterpret_cast<sockaddr*>(&storage), length) == 0 ? fd : -1;
    };
    const int one = open("10.96.0.10:53"), two = open("10.96.0.11:53");
    std::string text;
    for (const int fd : {one, two, one}) {
      char buffer[128];
      ::send(fd, "?", 1, 0);
      const ssize_t n = ::recv(fd, buffer, sizeof(buffer), 0);
      text += std::string(buffer, n > 0 ? static_cast<size_t>(n) : 0) + ";";
    }
    return text;
  });
  EXPECT_EQ(both, "server 10.96.0.10:53;server 10.96.0.11:53;server 10.96.0.10:53;");
}

TEST_F(Node, DnsOverTcpReachesTheDaemonsDnsPort) {
  EXPECT_EQ(From("client", {.to = "10.96.0.10:53"}), "to 10.96.0.10:53 | peer 10.96.0.10:53");
  EXPECT_GT(world_->Counter("mesh_node_captures_total", "kind=\"dns_tcp\""), 0u);
}

TEST_F(Node, InboundReachesTheDaemonWhoseOwnConnectionIsNotCaughtAgain) {
  for (const int family : {4, 6}) {
    const std::string to = Address("server", family, 8080);
    EXPECT_EQ(From("stranger", {.to = to}),
              "via daemon: app sees " + NodeWorld::Ip("stranger", family) + " | peer " + to);
  }
  EXPECT_GE(world_->Counter("mesh_node_captures_total", "kind=\"guarded\""), 2u);
  const std::string page = world_->Admin("/metrics");
  EXPECT_NE(page.find("mesh_node_map_entries{map=\"mesh_guard\"} 0\n"), std::string::npos) << page;
}

TEST_F(Node, TheDaemonsInnerPortsAreClosedToStrangers) {
  for (const int port : {15001, 15006, 15053}) {
    EXPECT_EQ(From("stranger", {.to = Address("server", 4, port)}), "connect: ECONNREFUSED")
        << port;
  }
}

TEST_F(Node, ProbesOfTheNodeGoStraightToTheApplication) {
  const std::string to = Address("server", 4, 8080);
  EXPECT_EQ(RunIn(world_->Prober(), [to] { return Do({.to = to}); }),
            "app sees 169.254.7.127 | peer " + to);
  const std::string to6 = Address("server", 6, 8080);
  EXPECT_EQ(RunIn(world_->Prober(), [to6] { return Do({.to = to6}); }),
            "app sees fd16:9254:7127:1337:ffff:ffff:ffff:ffff | peer " + to6);
}

TEST_F(Node, MultipathTcpIsRefusedSoThatProgramsFallBack) {
  const std::string answer = From("client", {.to = Address("stranger", 4, 8080), .protocol = 262});
  if (answer == "socket: EPROTONOSUPPORT" || answer == "socket: ENOPROTOOPT")
    GTEST_SKIP() << "no MPTCP in this kernel";
  EXPECT_EQ(answer, "socket: EPERM");
}

TEST_F(Node, StrictRefusesPlainTextInTheKernelButNotProbes) {
  world_->WriteManifest(
      "strict.yaml",
      "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"
      "metadata: {name: default, namespace: shop}\nspec: {mtls: {mode: STRICT}}\n");
  const std::string to = Address("server", 4, 8080);
  std::string answer;
  for (int i = 0; i < 200 && answer != "connect: ECONNREFUSED"; ++i, ::usleep(20'000))
    answer = From("stranger", {.to = to});
  EXPECT_EQ(answer, "connect: ECONNREFUSED");
  EXPECT_GT(world_->Counter("mesh_node_refusals_total", "reason=\"strict_plaintext\""), 0u);
  EXPECT_EQ(RunIn(world_->Prober(), [to] { return Do({.to = to}); }),
            "app sees 169.254.7.127 | peer " + to);
  world_->RemoveManifest("strict.yaml");
  for (int i = 0; i < 200 && !answer.starts_with("via"); ++i, ::usleep(20'000))
    answer = From("stranger", {.to = to});
  EXPECT_TRUE(answer.starts_with("via daemon")) << answer;
}

TEST_F(Node, WithoutTheDaemonConnectionsAreRefusedInBothDirections) {
  world_->StopDaemon(SIGKILL);
  EXPECT_EQ(From("client", {.to = Address("stranger", 4, 8080)}), "connect: ECONNREFUSED");
  EXPECT_EQ(From("client", {.to = Address("stranger", 6, 8080)}), "connect: ECONNREFUSED");
  EXPECT_EQ(From("stranger", {.to = Address("server", 4, 8080)}), "connect: ECONNREFUSED");
  EXPECT_EQ(From("stranger", {.to = Address("server", 6, 8080)}), "connect: ECONNREFUSED");
  EXPECT_GE(world_->Counter("mesh_node_refusals_total", "reason=\"daemon_absent\""), 2u);
  world_->StartDaemon();
  const std::string to = Address("stranger", 4, 8080);
  std::string answer;
  for (int i = 0; i < 200 && !answer.starts_with("to"); ++i, ::usleep(20'000))
    answer = From("client", {.to = to});
  EXPECT_EQ(answer, "to " + to + " | peer " + to);
  EXPECT_TRUE(From("stranger", {.to = Address("server", 4, 8080)}).starts_with("via daemon"));
}

TEST_F(Node, WithoutTheAgentEverythingGoesOnAndTheNextOneAdoptsIt) {
  const std::string to = Address("stranger", 4, 8080), in = Address("server", 4, 8080);
  world_->StopAgent(SIGKILL);
  EXPECT_EQ(From("client", {.to = to}), "to " + to + " | peer " + to);
  EXPECT_TRUE(From("stranger", {.to = in}).starts_with("via daemon"));
  // While the next one starts, not one connection goes another way.
  int load = SpawnIn(world_->Pod("client"), [to] {
    for (;;) {
      if (Do({.to = to}) != "to " + to + " | peer " + to) ::_exit(5);
    }
  });
  const uint64_t before = world_->Counter("mesh_node_captures_total", "kind=\"outbound_v4\"");
  world_->StartAgent();
  EXPECT_TRUE(world_->WaitState("client", "enrolled")) << world_->Admin("/status");
  EXPECT_TRUE(world_->WaitState("server", "enrolled"));
  ::usleep(300'000);
  EXPECT_EQ(::kill(load, 0), 0) << "a connection was not captured";
  Kill(load, SIGKILL);
  EXPECT_GT(world_->Counter("mesh_node_captures_total", "kind=\"outbound_v4\""), before);
  EXPECT_TRUE(From("stranger", {.to = in}).starts_with("via daemon"));
}

TEST_F(Node, AnAgentWithoutItsRecordKeepsWhatIsCaptured) {
  const std::string record = world_->dir() + "/state/pods.json";
  const std::string loop = world_->dir() + "/loop";
  std::filesystem::create_symlink(loop, loop);
  ASSERT_TRUE(std::filesystem::exists(record));
  // The record is gone; or it is there, and the namespaces cannot be opened by it, or are no longer
  // where it says.
  for (const std::string& path : {std::string(), loop, world_->dir() + "/nowhere"}) {
    world_->StopDaemon(SIGKILL);
    world_->StopAgent(SIGKILL);
    if (path.empty()) {
      std::filesystem::remove(record);
    } else {
      ASSERT_EQ(::system(("sed -i 's#/run/netns/[^\"]*#" + path + "#' " + record).c_str()), 0);
    }
    world_->StartAgent();
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(From("client", {.to = Address("stranger", 4, 8080)}), "connect: ECONNREFUSED");
      EXPECT_EQ(From("stranger", {.to = Address("server", 4, 8080)}), "connect: ECONNREFUSED");
    }
    world_->StartDaemon();
    std::string answer;
    for (int i = 0; i < 200 && !answer.starts_with("via daemon"); ++i, ::usleep(20'000))
      answer = From("stranger", {.to = Address("server", 4, 8080)});
    EXPECT_TRUE(answer.starts_with("via daemon")) << answer;
    EXPECT_TRUE(world_->WaitState("client", "enrolled")) << world_->Admin("/status");
    EXPECT_TRUE(world_->WaitState("server", "enrolled")) << world_->Admin("/status");
  }
  std::filesystem::remove(loop);
}

TEST_F(Node, ABrokenManifestTakesNobodyOutWhenTheAgentStartsAnew) {
  world_->WriteManifest("shop.yaml", "kind: [");
  world_->StopAgent(SIGKILL);
  world_->StartAgent();
  EXPECT_TRUE(world_->WaitState("client", "enrolled")) << world_->Admin("/status");
  EXPECT_TRUE(world_->WaitState("server", "enrolled")) << world_->Admin("/status");
  EXPECT_TRUE(From("stranger", {.to = Address("server", 4, 8080)}).starts_with("via daemon"));
  world_->WriteManifest("shop.yaml", kAmbient);
}

TEST_F(Node, AnotherSandboxUnderAPodsNameTakesNothingFromThePodThatRuns) {
  EXPECT_EQ(world_->CniAdd("client", world_->Pod("stranger").netns).substr(0, 12), "HTTP/1.1 404");
  EXPECT_TRUE(world_->WaitState("client", "enrolled")) << world_->Admin("/status");
  const std::string to = Address("stranger", 4, 8080);
  EXPECT_EQ(From("client", {.to = to}), "to " + to + " | peer " + to);
  EXPECT_EQ(world_->CniAdd("client"), "HTTP/1.1 200 OK");
}

TEST_F(Node, OnePodThatCannotBeRenewedIsThatPodsAlone) {
  world_->StopAgent(SIGKILL);
  const std::string pin = world_->bpf_dir() + "/v1/pods/" + NodeWorld::Uid("server");
  ASSERT_TRUE(std::filesystem::remove(pin));
  ASSERT_TRUE(std::filesystem::create_directory(pin));
  world_->StartAgent();
  EXPECT_TRUE(world_->WaitState("server", "pending")) << world_->Admin("/status");
  EXPECT_TRUE(world_->WaitState("client", "enrolled")) << world_->Admin("/status");
  ASSERT_TRUE(std::filesystem::remove(pin));
  EXPECT_TRUE(world_->WaitState("server", "enrolled")) << world_->Admin("/status");
  EXPECT_TRUE(From("stranger", {.to = Address("server", 4, 8080)}).starts_with("via daemon"));
}

TEST_F(Node, ACapturedPodThatIsNotServedStaysInTheMeshForItsPeers) {
  world_->StopDaemon(SIGKILL);
  int squatter = SpawnIn(world_->Pod("server"), [] {
    sockaddr_storage storage;
    const socklen_t length = SocketAddress::Parse("127.0.0.1:15001")->ToSockaddr(storage, AF_INET);
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0), one = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (::bind(fd, reinterpret_cast<sockaddr*>(&storage), length) != 0) ::_exit(4);
    ::listen(fd, 1);
    for (;;) ::pause();
  });
  ::usleep(100'000);
  world_->StartDaemon();
  EXPECT_TRUE(world_->WaitState("server", "pending")) << world_->Admin("/status");
  std::ifstream patch(world_->dir() + "/patch/node-9_pod_shop_server.patch.json");
  const std::string text((std::istreambuf_iterator<char>(patch)), {});
  EXPECT_NE(text.find("enabled"), std::string::npos) << text;
  Kill(squatter, SIGKILL);
  world_->StopDaemon(SIGKILL);
  world_->StartDaemon();
  EXPECT_TRUE(world_->WaitState("server", "enrolled")) << world_->Admin("/status");
}

TEST_F(Node, ALabelTakesARunningPodOutAndInAgain) {
  world_->WritePod("server", "istio.io/dataplane-mode: none");
  ASSERT_TRUE(world_->WaitState("server", "not_enrolled"));
  const std::string in = Address("server", 4, 8080);
  EXPECT_EQ(From("stranger", {.to = in}),
            "app sees " + NodeWorld::Ip("stranger", 4) + " | peer " + in);
  EXPECT_FALSE(std::filesystem::exists(world_->dir() + "/patch/node-9_pod_shop_server.patch.json"));
  world_->WritePod("server", "");
  ASSERT_TRUE(world_->WaitState("server", "enrolled"));
  EXPECT_TRUE(From("stranger", {.to = in}).starts_with("via daemon"));
  EXPECT_TRUE(std::filesystem::exists(world_->dir() + "/patch/node-9_pod_shop_server.patch.json"));
}

TEST_F(Node, AnUnknownPodIsRefusedToTheCniPlugin) {
  world_->RemoveManifest("stranger.yaml");
  ::usleep(200'000);
  EXPECT_EQ(world_->CniAdd("stranger").substr(0, 12), "HTTP/1.1 404");
  world_->WritePod("stranger", "");
}

TEST_F(Node, ZCleanupLeavesNothing) {
  world_->StopDaemon(SIGTERM);
  world_->StopAgent(SIGTERM);
  EXPECT_TRUE(std::filesystem::exists(world_->bpf_dir() + "/v1/mesh_pods"));
  EXPECT_EQ(world_->Cleanup(), 0);
  EXPECT_FALSE(std::filesystem::exists(world_->bpf_dir()));
  EXPECT_FALSE(std::filesystem::exists(world_->dir() + "/state"));
  EXPECT_TRUE(std::filesystem::is_empty(world_->dir() + "/patch"));
  const std::string in = Address("server", 4, 8080);
  EXPECT_EQ(From("client", {.to = in}), "app sees " + NodeWorld::Ip("client", 4) + " | peer " + in);
  for (const char* pod : {"client", "server"}) {
    const std::string rules = RunIn(world_->Pod(pod), [] {
      return std::to_string(
          ::system("ip rule | grep -q 'lookup 100' || ip -6 rule | grep -q 'lookup 100' || "
                   "ip route show table 100 2>/dev/null | grep -q local"));
    });
    EXPECT_NE(rules, "0") << pod;
  }
  // The suite's end needs nothing more; the next test of a repeated run needs all of it.
  world_->StartAgent();
  world_->StartDaemon();
}

}  // namespace
}  // namespace mesh::test
