// Every way that traffic can take, with real processes: two nodes, pods in and out of the mesh.
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>

#include "tests/support/mesh_test.h"
#include "tests/support/objects.h"

namespace mesh::test {
namespace {

const std::string kManifests = kShopAndOutside + R"(---
apiVersion: v1
kind: ServiceAccount
metadata: {name: client, namespace: shop}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: server, namespace: shop}
---
apiVersion: v1
kind: Service
metadata: {name: near, namespace: shop}
spec:
  ipFamilyPolicy: PreferDualStack
  selector: {app: near}
  ports:
  - {name: http, port: 80, targetPort: 8080}
  - {name: tcp, port: 9000}
  - {name: greet, port: 9001}
---
apiVersion: v1
kind: Service
metadata: {name: far, namespace: shop}
spec:
  ipFamilyPolicy: PreferDualStack
  selector: {app: far}
  ports:
  - {name: http, port: 80, targetPort: 8080}
  - {name: tcp, port: 9000}
  - {name: greet, port: 9001}
---
apiVersion: v1
kind: Service
metadata: {name: both, namespace: shop}
spec:
  selector: {role: server}
  ports:
  - {name: http, port: 80, targetPort: 8080}
)";

std::string ClientPod(const std::string& ns, const std::string& name, const std::string& node) {
  return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", namespace: " + ns +
         ", labels: {app: " + name + "}}\nspec:\n  nodeName: " + node +
         (ns == "shop" ? "\n  serviceAccountName: client" : "") +
         "\n  containers:\n  - {name: app, image: culvert/meshapp, command: [meshapp, sleep]}\n";
}

std::string ServerPod(const std::string& ns, const std::string& name, const std::string& node) {
  return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", namespace: " + ns +
         ", labels: {app: " + name + ", role: server, version: v1}}\nspec:\n  nodeName: " + node +
         (ns == "shop" ? "\n  serviceAccountName: server" : "") + R"(
  containers:
  - {name: http, image: culvert/meshapp, command: [meshapp, serve, --port, "8080", --name, )" +
         name + R"(]}
  - {name: echo, image: culvert/meshapp, command: [meshapp, tcp-echo, --port, "9000"]}
  - {name: greet, image: culvert/meshapp, command: [meshapp, tcp-server-first, --port, "9001"]}
)";
}

const std::string kClientId = "spiffe://cluster.local/ns/shop/sa/client";
const std::string kServerId = "spiffe://cluster.local/ns/shop/sa/server";

class Traffic : public MeshTest {
 protected:
  static void SetUpTestSuite() {
    if (!Up("traffic",
            kManifests + ClientPod("shop", "client", "node-1") +
                ServerPod("shop", "near", "node-1") + ServerPod("shop", "far", "node-2") +
                ClientPod("outside", "stranger", "node-1") +
                ServerPod("outside", "plain", "node-2"),
            {"shop/client", "shop/near", "shop/far", "outside/stranger", "outside/plain"}))
      return;
    // The first certificates and pushes are part of start-up, not of the tests below.
    ASSERT_TRUE(Eventually([] { return Get("shop/client", "http://far/").code == 0; }));
  }
  void TearDown() override {
    if (!applied_.empty()) EXPECT_EQ(mesh_->Delete(applied_).code, 0);
  }

  static Outcome Get(const std::string& pod, const std::string& url) {
    return mesh_->Exec(pod, {"curl", "-sS", "-m", "8", url});
  }
  // A policy for the length of one test, in force when this returns true on `holds`.
  void Policy(const std::string& yaml) {
    const Outcome outcome = mesh_->Apply(yaml);
    ASSERT_EQ(outcome.code, 0) << outcome.out << outcome.err;
    applied_ = yaml;
  }
  static std::string Authorization(const std::string& body) {
    return "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
           "metadata: {name: rule, namespace: shop}\nspec:\n" +
           body;
  }
  static constexpr const char* kStrict =
      "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"
      "metadata: {name: default, namespace: shop}\nspec: {mtls: {mode: STRICT}}\n";

  // Each family runs through the same ways.
  static std::string Host(const std::string& pod, int family) {
    const std::string ip = mesh_->PodIp(pod, family);
    return family == 6 ? "[" + ip + "]" : ip;
  }

  std::string applied_;
};

TEST_F(Traffic, CrossNodeCapturedToCapturedByServiceName) {
  const Outcome got = Get("shop/client", "http://far/");
  EXPECT_EQ(got.code, 0) << got.err;
  EXPECT_NE(got.out.find("\"service\":\"far\""), std::string::npos) << got.out;
  EXPECT_TRUE(Eventually([] {
    return !Lines(mesh_->ZtunnelLog("node-1"),
                  {"direction=\"outbound\"", "dst.service=\"far.shop.svc.cluster.local\"",
                   "src.identity=\"" + kClientId + "\"", "dst.identity=\"" + kServerId + "\"",
                   ":15008", "dst.hbone_addr="})
                .empty();
  })) << mesh_->ZtunnelLog("node-1");
  EXPECT_TRUE(Eventually([] {
    return !Lines(mesh_->ZtunnelLog("node-2"),
                  {"direction=\"inbound\"", "src.identity=\"" + kClientId + "\"",
                   "dst.workload=\"far\""})
                .empty();
  })) << mesh_->ZtunnelLog("node-2");
}

TEST_F(Traffic, SameNodeCapturedToCapturedIsReportedByBothSides) {
  const auto opened = [](const char* reporter) {
    return MetricSum(mesh_->Metrics("node-1"), "istio_tcp_connections_opened_total",
                     {std::string("reporter=\"") + reporter + "\"", "source_workload=\"client\"",
                      "destination_workload=\"near\"", "source_principal=\"" + kClientId + "\"",
                      "destination_principal=\"" + kServerId + "\""});
  };
  const double source = opened("source"), destination = opened("destination");
  const Outcome got = Get("shop/client", "http://near/");
  EXPECT_EQ(got.code, 0) << got.err;
  EXPECT_NE(got.out.find("\"service\":\"near\""), std::string::npos) << got.out;
  EXPECT_EQ(opened("source"), source + 1);
  EXPECT_EQ(opened("destination"), destination + 1);
}

TEST_F(Traffic, PodAddressesWorkInBothFamilies) {
  for (const int family : {4, 6}) {
    for (const char* pod : {"shop/near", "shop/far", "outside/plain"}) {
      const Outcome got = Get("shop/client", "http://" + Host(pod, family) + ":8080/");
      EXPECT_EQ(got.code, 0) << pod << " over IPv" << family << ": " << got.err;
    }
  }
}

TEST_F(Traffic, ServiceNamesWorkInBothFamilies) {
  for (const char* flag : {"-4", "-6"}) {
    for (const char* url :
         {"http://near/", "http://far.shop/", "http://far.shop.svc.cluster.local/"}) {
      const Outcome got = mesh_->Exec("shop/client", {"curl", "-sS", "-m", "8", flag, url});
      EXPECT_EQ(got.code, 0) << flag << " " << url << ": " << got.err;
    }
  }
}

TEST_F(Traffic, OutOfTheMeshIsPassedThroughUntouched) {
  const Outcome got = Get("shop/client", "http://" + Host("outside/plain", 4) + ":8080/");
  EXPECT_EQ(got.code, 0) << got.err;
  EXPECT_TRUE(Eventually([] {
    for (const std::string& line : Lines(mesh_->ZtunnelLog("node-1"),
                                         {"dst.addr=" + mesh_->PodIp("outside/plain") + ":8080"})) {
      if (line.find("identity") == std::string::npos) return true;
    }
    return false;
  })) << mesh_->ZtunnelLog("node-1");
}

TEST_F(Traffic, IntoTheMeshInPlainTextIsAcceptedWhenPermissive) {
  for (const int family : {4, 6}) {
    for (const char* pod : {"shop/near", "shop/far"}) {
      const Outcome got = Get("outside/stranger", "http://" + Host(pod, family) + ":8080/");
      EXPECT_EQ(got.code, 0) << pod << " over IPv" << family << ": " << got.err;
    }
  }
}

TEST_F(Traffic, ApplicationSeesTheClientsAddress) {
  for (const int family : {4, 6}) {
    const std::string client = mesh_->PodIp("shop/client", family);
    const std::string stranger = mesh_->PodIp("outside/stranger", family);
    for (const char* pod : {"shop/near", "shop/far"}) {
      const std::string url = "http://" + Host(pod, family) + ":8080/";
      EXPECT_NE(Get("shop/client", url).out.find(client), std::string::npos)
          << pod << " IPv" << family << ": " << Get("shop/client", url).out;
      EXPECT_NE(Get("outside/stranger", url).out.find(stranger), std::string::npos)
          << pod << " IPv" << family;
    }
  }
}

TEST_F(Traffic, StrictRefusesPlainTextAndLetsTheMeshIn) {
  Policy(kStrict);
  for (const int family : {4, 6}) {
    for (const char* pod : {"shop/near", "shop/far"}) {
      const std::string url = "http://" + Host(pod, family) + ":8080/";
      // 7: refused; 56: reset. At once in both cases, never a timeout (28).
      EXPECT_TRUE(Eventually([&] {
        const int code = Get("outside/stranger", url).code;
        return code == 7 || code == 56;
      })) << pod
          << " IPv" << family;
      EXPECT_EQ(Get("shop/client", url).code, 0) << pod << " IPv" << family;
    }
  }
}

TEST_F(Traffic, PolicyDenyRefusesOnBothWaysAndNamesTheReason) {
  Policy(
      Authorization("  action: DENY\n  rules:\n  - from:\n    - source:\n"
                    "        principals: [cluster.local/ns/shop/sa/client]\n"));
  for (const char* host : {"far", "near"}) {
    EXPECT_TRUE(Eventually([&] {
      const int code = Get("shop/client", std::string("http://") + host + "/").code;
      return code == 56 || code == 52 || code == 7;
    })) << host;
  }
  for (const char* node : {"node-1", "node-2"}) {
    EXPECT_TRUE(Eventually([&] {
      return !Lines(mesh_->ZtunnelLog(node), {"direction=\"inbound\"", "policy_deny", "shop/rule"})
                  .empty();
    })) << node
        << mesh_->ZtunnelLog(node);
    EXPECT_GE(MetricSum(mesh_->Metrics(node), "istio_tcp_connections_failed_total",
                        {"reporter=\"destination\"", "response_flags=\"DENY\""}),
              1)
        << node;
  }
}

TEST_F(Traffic, PolicyAllowsByPrincipalOnly) {
  Policy(
      Authorization("  action: ALLOW\n  rules:\n  - from:\n    - source:\n"
                    "        principals: [cluster.local/ns/shop/sa/client]\n"));
  for (const char* pod : {"shop/near", "shop/far"}) {
    const std::string url = "http://" + Host(pod, 4) + ":8080/";
    EXPECT_TRUE(Eventually([&] { return Get("outside/stranger", url).code != 0; })) << pod;
    EXPECT_EQ(Get("shop/client", url).code, 0) << pod;
  }
}

// Says when something has come back, then when that is over: by an end, a reset, or nothing in 20
// s.
constexpr char kHold[] = R"(
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20)
s.sendall(b'ping')
s.recv(65536)
print('OPEN', flush=True)
try:
    while s.recv(65536): pass
    print('ENDED', flush=True)
except ConnectionResetError:
    print('ENDED', flush=True)
except TimeoutError:
    print('SILENCE', flush=True)
)";

constexpr char kPing[] = R"(
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5)
s.sendall(b'ping')
sys.exit(0 if s.recv(65536) else 1)
)";

TEST_F(Traffic, PolicyChangeEndsWhatItForbids) {
  for (const char* host : {"far", "near"}) {
    // What was forbidden the last time is so no more.
    ASSERT_TRUE(Eventually([host] {
      return mesh_->Exec("shop/client", {"python3", "-c", kPing, host, "9000"}).code == 0;
    })) << host;
    // One connection each to a port that is about to be forbidden and to one that is not.
    const auto hold = [host](const char* port) {
      return mesh_->ExecWords("shop/client", {"python3", "-c", kHold, host, port});
    };
    Background forbidden(hold("9000")), allowed(hold("9001"));
    for (const Background* held : {&forbidden, &allowed}) {
      ASSERT_TRUE(Eventually([held] { return held->Printed().starts_with("OPEN"); }))
          << host << held->Printed();
    }
    Policy(
        Authorization("  action: DENY\n  rules:\n  - to:\n    - operation: {ports: [\"9000\"]}\n"));
    EXPECT_TRUE(Eventually([&] { return forbidden.Printed() == "OPEN\nENDED\n"; }))
        << host << forbidden.Printed();
    // It is the open one that ended for this: bytes had gone both ways.
    EXPECT_TRUE(Eventually([&] {
      for (const std::string& line :
           Lines(mesh_->ZtunnelLog(std::string(host) == "far" ? "node-2" : "node-1"),
                 {"direction=\"inbound\"", ":9000", "policy_deny"})) {
        if (line.find("bytes_sent=0") == std::string::npos) return true;
      }
      return false;
    })) << host;
    EXPECT_EQ(allowed.Printed(), "OPEN\n") << host;
    EXPECT_EQ(mesh_->Delete(applied_).code, 0);
    applied_.clear();
  }
}

TEST_F(Traffic, ServerThatSpeaksFirstIsHeardAtOnce) {
  for (const char* host : {"near", "far"}) {
    const Outcome got = mesh_->Exec(
        "shop/client",
        {"bash", "-c",
         std::string("exec 3<>/dev/tcp/") + host + "/9001; read -t 5 line <&3; echo \"$line\""});
    EXPECT_EQ(got.code, 0) << host << got.err;
    EXPECT_GT(got.out.size(), 2u) << host << ": no greeting";
  }
}

TEST_F(Traffic, HalfCloseIsPassedOn) {
  for (const char* host : {"near", "far"}) {
    // The echo answers only what came before our FIN, then closes; nothing may be lost.
    const Outcome got = mesh_->Exec("shop/client", {"python3", "-c", R"(
import socket, sys, hashlib, threading
s = socket.create_connection((sys.argv[1], 9000), timeout=20)
data = bytes(range(256)) * 20000
def send():
    s.sendall(data); s.shutdown(socket.SHUT_WR)
t = threading.Thread(target=send); t.start()
got = b''
while True:
    b = s.recv(65536)
    if not b: break
    got += b
t.join()
sys.exit(0 if got == data else 1)
)",
                                                    host});
    EXPECT_EQ(got.code, 0) << host << ": " << got.err;
  }
}

TEST_F(Traffic, ByteCountersAreExact) {
  const auto bytes = [](const char* node, const char* metric, const char* reporter,
                        const char* to) {
    return MetricSum(
        mesh_->Metrics(node), metric,
        {std::string("reporter=\"") + reporter + "\"",
         std::string("destination_workload=\"") + to + "\"", "source_workload=\"client\""});
  };
  struct Case {
    const char* to;
    const char* server_node;
  };
  for (const Case c : {Case{"near", "node-1"}, Case{"far", "node-2"}}) {
    const auto all = [&] {
      return std::vector<double>{
          bytes("node-1", "istio_tcp_received_bytes_total", "source", c.to),
          bytes("node-1", "istio_tcp_sent_bytes_total", "source", c.to),
          bytes(c.server_node, "istio_tcp_received_bytes_total", "destination", c.to),
          bytes(c.server_node, "istio_tcp_sent_bytes_total", "destination", c.to)};
    };
    const auto before = all();
    const Outcome got = mesh_->Exec("shop/client", {"python3", "-c", R"(
import socket, sys
s = socket.create_connection((sys.argv[1], 9000), timeout=20)
s.sendall(b'x' * 12345); n = 0
while n < 12345: n += len(s.recv(65536))
s.close()
)",
                                                    c.to});
    ASSERT_EQ(got.code, 0) << got.err;
    EXPECT_TRUE(Eventually([&] {
      const auto after = all();
      for (size_t i = 0; i < 4; ++i) {
        if (after[i] - before[i] != 12345) return false;
      }
      return true;
    })) << c.to;
  }
}

TEST_F(Traffic, NobodyListeningIsRefusedAtOnce) {
  for (const char* pod : {"shop/near", "shop/far", "outside/plain"}) {
    const Outcome got = Get("shop/client", "http://" + Host(pod, 4) + ":7999/");
    // 55: reset before the request was written.
    EXPECT_TRUE(Refused(got.code)) << pod << ": " << got.code;
  }
  EXPECT_TRUE(Eventually([] {
    return !Lines(mesh_->ZtunnelLog("node-2"), {":7999", "reason=connect_refused"}).empty();
  })) << mesh_->ZtunnelLog("node-2");
  // The client's node names what the far end answered, not just that it did.
  EXPECT_TRUE(Eventually([] {
    return !Lines(mesh_->ZtunnelLog("node-1"),
                  {":7999", ":15008", "reason=connect_refused", "status 503"})
                .empty();
  })) << mesh_->ZtunnelLog("node-1");
}

TEST_F(Traffic, ServiceSpreadsOverItsEndpoints) {
  int near = 0, far = 0;
  for (int i = 0; i < 30; ++i) {
    const std::string body = Get("shop/client", "http://both/").out;
    near += body.find("\"service\":\"near\"") != std::string::npos;
    far += body.find("\"service\":\"far\"") != std::string::npos;
  }
  EXPECT_EQ(near + far, 30);
  EXPECT_GT(near, 2);
  EXPECT_GT(far, 2);
}

TEST_F(Traffic, ApplicationsPeerIsTheServiceItAskedFor) {
  const Outcome got = mesh_->Exec("shop/client", {"python3", "-c", R"(
import socket
ip = socket.getaddrinfo('far', 80, socket.AF_INET)[0][4][0]
s = socket.create_connection((ip, 80), timeout=5)
print('ok' if s.getpeername() == (ip, 80) else s.getpeername())
)"});
  EXPECT_EQ(got.out, "ok\n") << got.err;
}

TEST_F(Traffic, AMarkExemptsNobody) {
  Policy(kStrict);
  const std::string url = "http://" + Host("shop/far", 4) + ":8080/";
  const auto marked = [&] {
    return mesh_->Exec("shop/client", {"python3", "-c", R"(
import socket, sys
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, 36, 0x539); s.settimeout(5)
s.connect((sys.argv[1], 8080)); s.sendall(b'GET / HTTP/1.0\r\n\r\n')
sys.exit(0 if b'200' in s.recv(4096) else 1)
)",
                                       mesh_->PodIp("shop/far")});
  };
  ASSERT_TRUE(Eventually([&] { return Get("outside/stranger", url).code != 0; }));
  // Captured like any other connection, so STRICT lets it in; a bypass would arrive in plain text.
  EXPECT_EQ(marked().code, 0);
}

TEST_F(Traffic, NothingInClearTextBetweenNodes) {
  const std::string secret = "culvert-clear-text-canary-" + std::to_string(::getpid());
  const std::string netns = "--net=" + mesh_->NodeNetnsPath("node-1");
  Background capture(
      {"nsenter", netns, "tcpdump", "-i", "eth0", "-A", "-s", "0", "-l", "-n", "tcp"});
  ::usleep(600'000);
  const Outcome got =
      mesh_->Exec("shop/client", {"curl", "-sS", "-m", "8", "-H", "x-canary: " + secret, "-d",
                                  secret + secret, "http://far/"});
  EXPECT_EQ(got.code, 0) << got.err;
  // The same bytes to a pod outside the mesh must show up, or the capture proves nothing.
  const std::string control = "culvert-control-" + std::to_string(::getpid());
  Get("shop/client", "http://" + Host("outside/plain", 4) + ":8080/?" + control);
  ::usleep(600'000);
  const std::string packets = capture.Stop().out;
  EXPECT_NE(packets.find(control), std::string::npos) << "the capture saw nothing";
  EXPECT_NE(packets.find(".15008"), std::string::npos);
  EXPECT_EQ(packets.find(secret), std::string::npos) << "clear text on the wire";
  EXPECT_EQ(packets.find("x-canary"), std::string::npos) << "clear text on the wire";
}

TEST_F(Traffic, NoPacketRulesAnywhere) {
  for (const std::string& ns : {mesh_->NodeNetnsPath("node-1"), mesh_->NodeNetnsPath("node-2")}) {
    EXPECT_EQ(RunCommand({"nsenter", "--net=" + ns, "nft", "list", "ruleset"}).out, "") << ns;
  }
  for (const char* pod : {"shop/client", "shop/near", "shop/far"}) {
    EXPECT_EQ(mesh_->Exec(pod, {"nft", "list", "ruleset"}).out, "") << pod;
  }
}

TEST_F(Traffic, UnknownNamesAndOtherTypesAreNotInvented) {
  const Outcome got = mesh_->Exec("shop/client", {"python3", "-c", R"(
import socket
for name in ('nosuch', 'nosuch.shop.svc.cluster.local'):
    try:
        socket.getaddrinfo(name, 80); print('resolved', name)
    except socket.gaierror as e:
        print('refused')
)"},
                                  std::chrono::seconds(60));
  EXPECT_EQ(got.out, "refused\nrefused\n") << got.err;
}

}  // namespace
}  // namespace mesh::test
