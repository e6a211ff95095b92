// Peers that do what they should not: calls to the mesh's own ports, tunnels to where they may not
// lead, servers that break the protocol.
#include <absl/time/clock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/support/certificates.h"
#include "tests/support/hbone_probe.h"
#include "tests/support/mesh_test.h"
#include "tests/support/objects.h"

namespace mesh::test {
namespace {

const std::string kManifests = kShopAndOutside + R"(---
apiVersion: v1
kind: ServiceAccount
metadata: {name: foreign, namespace: outside}
)" + IdlePod("shop", "client", "node-1") +
                               ServingPod("shop", "near", "node-1") + R"(---
apiVersion: v1
kind: Pod
metadata: {name: far, namespace: shop, labels: {app: far}}
spec:
  nodeName: node-2
  containers:
  - name: app
    image: culvert/meshapp
    command: [meshapp, serve, --port, "8080", --name, far]
    ports: [{name: web, containerPort: 8080}]
)" + IdlePod("outside", "stranger", "node-1") +
                               R"(---
apiVersion: v1
kind: Pod
metadata:
  name: foreign
  namespace: outside
  labels: {networking.istio.io/tunnel: http}
spec:
  nodeName: node-2
  serviceAccountName: foreign
  containers:
  - {name: app, image: culvert/meshapp, command: [meshapp, sleep]}
---
apiVersion: v1
kind: Service
metadata: {name: far, namespace: shop}
spec:
  selector: {app: far}
  ports:
  - {name: numeric, port: 80, targetPort: 8080}
  - {name: named, port: 81, targetPort: web}
  - {name: own, port: 82, targetPort: 15001}
---
apiVersion: v1
kind: Service
metadata: {name: near, namespace: shop}
spec:
  selector: {app: near}
  ports:
  - {name: http, port: 80, targetPort: 8080}
---
apiVersion: v1
kind: Service
metadata: {name: nobody, namespace: shop}
spec:
  selector: {app: nobody}
  ports:
  - {name: http, port: 80}
)";

const char* const kMeshPorts[] = {"15000", "15001", "15006", "15008", "15020", "15021", "15053"};

// Sends an HTTP request to each "address port" and prints with each: "http" and the status line,
// "bytes" and how many (a TLS alert), or how it ended without: closed, reset, refused, silent.
constexpr const char* kCallAll = R"py(
import errno, socket, sys, threading
def call(address, port):
    s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_STREAM)
    s.settimeout(8)
    got = b''
    try:
        s.connect((address, int(port)))
        s.sendall(b'GET /config_dump HTTP/1.0\r\n\r\n')
        # DNS takes this for the start of a long question, and waits for the rest.
        if port == '15053': s.shutdown(socket.SHUT_WR)
        while True:
            b = s.recv(65536)
            if not b: break
            got += b
        end = 'closed'
    except ConnectionRefusedError: end = 'refused'
    except socket.timeout: end = 'silent'
    except OSError as e:
        end = 'reset' if e.errno in (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN) else str(e)
    if got.startswith(b'HTTP'): return 'http ' + got.split(b'\r\n')[0].decode()
    return 'bytes %d' % len(got) if got else end
def report(address, port):
    result = call(address, port)
    with lock: print(address, port, result, flush=True)
lock = threading.Lock()
threads = [threading.Thread(target=report, args=sys.argv[i:i + 2]) for i in range(1, len(sys.argv), 2)]
for t in threads: t.start()
for t in threads: t.join()
)py";

class Hostile : public MeshTest {
 protected:
  static void SetUpTestSuite() {
    if (!Up("hostile", kManifests,
            {"shop/client", "shop/near", "shop/far", "outside/stranger", "outside/foreign"}))
      return;
    for (const char* who : {"foreign", "denied", "other"}) {
      const Outcome made =
          IssueCertificate(mesh_->root() + "/pki/ca", Certificate(who),
                           std::string("spiffe://cluster.local/ns/outside/sa/") + who);
      ASSERT_EQ(made.code, 0) << made.err;
    }
    ASSERT_TRUE(Eventually([] { return Get("http://far/").code == 0; }));
    ASSERT_TRUE(Eventually([] { return Get("http://near/").code == 0; }));
  }
  static std::string Certificate(const std::string& who) { return mesh_->root() + "/test-" + who; }

  static Outcome Get(const std::string& url) {
    return mesh_->Exec("shop/client", {"curl", "-sS", "-m", "20", url}, std::chrono::seconds(40));
  }
  static std::string NodeIp(const char* node, int family) {
    const Outcome got = RunCommand(
        {"bash", "-ec",
         "nsenter --net=$0 ip -$1 -o addr show dev eth0 scope global | awk '{print $4}' | head -1",
         mesh_->NodeNetnsPath(node), std::to_string(family)});
    return got.out.substr(0, got.out.find('/'));
  }
  // "address port" (and authority) -> what happened.
  static std::map<std::string, std::string> Answers(const Outcome& outcome, size_t words) {
    std::map<std::string, std::string> answers;
    for (const std::string& line : Lines(outcome.out, {})) {
      size_t at = 0;
      for (size_t i = 0; i < words && at != std::string::npos; ++i) at = line.find(' ', at + 1);
      if (at != std::string::npos) answers[line.substr(0, at)] = line.substr(at + 1);
    }
    return answers;
  }
  static std::map<std::string, std::string> Call(const char* pod,
                                                 const std::vector<std::string>& addresses) {
    std::vector<std::string> argv = {"python3", "-c", kCallAll};
    for (const std::string& address : addresses) {
      for (const char* port : kMeshPorts) argv.insert(argv.end(), {address, port});
    }
    const Outcome outcome = mesh_->Exec(pod, argv, std::chrono::seconds(60));
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return Answers(outcome, 2);
  }
  static std::string Tunnel(const std::string& who, const std::string& address,
                            const std::string& authority, const char* pod = "outside/stranger") {
    const Outcome outcome =
        mesh_->Exec(pod, AskForTunnels(Certificate(who), {{address, "15008", authority}}));
    const auto answers = Answers(outcome, 3);
    return answers.empty() ? outcome.out + outcome.err : answers.begin()->second;
  }
  static bool Logged(const char* node, const std::vector<std::string>& parts) {
    return Eventually([&] { return !Lines(mesh_->ZtunnelLog(node), parts).empty(); });
  }
  static double Closed(const char* node, const std::string& reason) {
    const std::string page = mesh_->Metrics(node);
    const std::vector<std::string> labels = {"reason=\"" + reason + "\""};
    return MetricSum(page, "mesh_tunnel_connections_closed_total", labels) +
           MetricSum(page, "mesh_tunnel_connections_refused_total", labels);
  }
};

TEST_F(Hostile, CallsToTheMeshsOwnPortsReachNothing) {
  std::vector<std::string> addresses = {"127.0.0.1", "::1"};
  for (const int family : {4, 6}) {
    for (const char* pod : {"shop/client", "shop/near", "shop/far", "outside/stranger"}) {
      addresses.push_back(mesh_->PodIp(pod, family));
    }
  }
  for (const char* pod : {"shop/client", "outside/stranger"}) {
    const auto answers = Call(pod, addresses);
    EXPECT_EQ(answers.size(), addresses.size() * std::size(kMeshPorts));
    for (const auto& [where, what] : answers) {
      // The TLS listener answers HTTP with an alert. Nobody else says anything, and nobody waits.
      const bool alert = what == "bytes 7" && where.ends_with(" 15008");
      EXPECT_TRUE(alert || what == "closed" || what == "reset" || what == "refused")
          << pod << " -> " << where << ": " << what;
    }
  }
}

TEST_F(Hostile, TheNodeAnswersForMetricsAndReadinessOnly) {
  for (const char* pod : {"shop/client", "outside/stranger"}) {
    for (const int family : {4, 6}) {
      for (const char* node : {"node-1", "node-2"}) {
        const std::string ip = NodeIp(node, family);
        ASSERT_NE(ip, "");
        for (const auto& [where, what] : Call(pod, {ip})) {
          const bool open = where.ends_with(" 15020") || where.ends_with(" 15021");
          if (open) {
            // Prometheus and the kubelet come this way; /config_dump is not there.
            EXPECT_TRUE(what.starts_with("http ") && what.find(" 404 ") != std::string::npos)
                << pod << " -> " << where << ": " << what;
          } else {
            EXPECT_TRUE(what == "refused" || what == "reset" || what == "closed")
                << pod << " -> " << where << ": " << what;
          }
        }
      }
    }
  }
}

TEST_F(Hostile, TunnelsNeverLeadToTheMeshsOwnPorts) {
  for (const int family : {4, 6}) {
    for (const char* pod : {"outside/stranger", "shop/client"}) {
      const bool captured = std::string(pod) == "shop/client";
      // A captured client's own pod is the one that it reaches without capture.
      const std::string ip = mesh_->PodIp(captured ? "shop/client" : "shop/far", family);
      const std::string host = family == 6 ? "[" + ip + "]" : ip;
      std::vector<TunnelAsk> asks;
      for (const char* port : kMeshPorts) asks.push_back({ip, "15008", host + ":" + port});
      const std::string node = NodeIp("node-2", family);
      const std::string node_host = family == 6 ? "[" + node + "]" : node;
      for (const std::string& other : {node_host, std::string("127.0.0.1"), std::string("[::1]"),
                                       std::string("0.0.0.0"), std::string("[::]")}) {
        for (const char* port : kMeshPorts) asks.push_back({ip, "15008", other + ":" + port});
      }
      const auto answers = Answers(
          mesh_->Exec(pod, AskForTunnels(Certificate("foreign"), asks), std::chrono::seconds(60)),
          3);
      EXPECT_EQ(answers.size(), asks.size());
      for (const auto& [what, answer] : answers) {
        const bool own_address = what.find(" 15008 " + host + ":") != std::string::npos;
        EXPECT_EQ(answer, own_address ? "503" : "400") << pod << " -> " << what;
      }
    }
  }
  // A service whose target port is the mesh's own is no way round either.
  EXPECT_EQ(Tunnel("foreign", mesh_->PodIp("shop/far"), "far.shop.svc.cluster.local:82"), "503");
  EXPECT_NE(Get("http://far:82/").code, 0);
  EXPECT_TRUE(Logged("node-2", {"reason=illegal_port"}));
  EXPECT_GE(Closed("node-2", "illegal_port"), 1);
}

TEST_F(Hostile, NoConnectionGoesRoundInALoop) {
  const auto opened = [] {
    return MetricSum(mesh_->Metrics("node-1"), "istio_tcp_connections_opened_total", {});
  };
  const auto open = [] {
    return MetricSum(mesh_->Metrics("node-1"), "istio_tcp_sockets_open", {});
  };
  const std::vector<std::string> addresses = {"127.0.0.1", mesh_->PodIp("shop/client"),
                                              mesh_->PodIp("shop/near")};
  const double before = opened();
  Call("shop/client", addresses);
  // Each call is at most one connection at each of two ends.
  EXPECT_LE(opened() - before, 2.0 * addresses.size() * std::size(kMeshPorts));
  // And the pod's own listeners were never reached through a tunnel of its own.
  const std::string self = mesh_->PodIp("shop/client") + ":15008";
  EXPECT_TRUE(
      Lines(mesh_->ZtunnelLog("node-1"), {"direction=\"outbound\"", "dst.addr=" + self}).empty());
  EXPECT_TRUE(Eventually([&] { return open() == 0; })) << open();
}

TEST_F(Hostile, PolicyThatDeniesATunnelAnswers401AndIsNamed) {
  const std::string ip = mesh_->PodIp("shop/far");
  EXPECT_EQ(Tunnel("denied", ip, ip + ":8080"), "200 HTTP/1.1 200 OK");
  const std::string policy = R"(
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: not-you, namespace: shop}
spec:
  action: DENY
  rules:
  - from:
    - source: {principals: [cluster.local/ns/outside/sa/denied]}
)";
  const Outcome applied = mesh_->Apply(policy);
  ASSERT_EQ(applied.code, 0) << applied.out << applied.err;
  EXPECT_TRUE(Eventually([&] { return Tunnel("denied", ip, ip + ":8080") == "401"; }));
  EXPECT_EQ(Tunnel("foreign", ip, ip + ":8080"), "200 HTTP/1.1 200 OK");
  EXPECT_EQ(mesh_->Delete(policy).code, 0);
  EXPECT_TRUE(Logged("node-2", {"src.identity=\"spiffe://cluster.local/ns/outside/sa/denied\"",
                                "reason=policy_deny", "shop/not-you"}));
}

TEST_F(Hostile, AnAuthorityOfAnotherPodAnswers400AndBothAddressesAreLogged) {
  const std::string far = mesh_->PodIp("shop/far");
  const std::string near = mesh_->PodIp("shop/near");
  EXPECT_EQ(Tunnel("foreign", far, near + ":8080"), "400");
  EXPECT_TRUE(Logged("node-2", {near + ":8080 is not this pod", far, "reason=bad_request"}));
}

TEST_F(Hostile, ANamedServiceIsServedByItsOwnEndpointsOnly) {
  const std::string far = mesh_->PodIp("shop/far");
  EXPECT_EQ(Tunnel("foreign", far, "far.shop.svc.cluster.local:80"), "200 HTTP/1.1 200 OK");
  EXPECT_EQ(Tunnel("foreign", far, "far.shop.svc.cluster.local:81"), "200 HTTP/1.1 200 OK");
  EXPECT_EQ(Tunnel("foreign", far, "far.shop.svc.cluster.local:99"), "503");
  EXPECT_TRUE(Logged("node-2", {"reason=service_port_unknown"}));
  EXPECT_EQ(Tunnel("foreign", far, "near.shop.svc.cluster.local:80"), "400");
  EXPECT_TRUE(Logged("node-2", {"no endpoint of service shop/near", "reason=bad_request"}));
  EXPECT_EQ(Tunnel("foreign", far, "nosuch.shop.svc.cluster.local:80"), "503");
  EXPECT_TRUE(Logged("node-2", {"nosuch.shop", "reason=unknown_destination"}));
}

TEST_F(Hostile, AClientOfAStrangeAuthorityIsRefused) {
  const std::string ca = mesh_->root() + "/test-ca";
  ASSERT_EQ(MakeAuthority(ca).code, 0);
  ASSERT_EQ(
      IssueCertificate(ca, Certificate("forged"), "spiffe://cluster.local/ns/shop/sa/default").code,
      0);
  const std::string far = mesh_->PodIp("shop/far");
  const std::string answer = Tunnel("forged", far, far + ":8080");
  EXPECT_TRUE(answer == "closed" || answer == "reset") << answer;
  EXPECT_TRUE(Logged("node-2", {"direction=\"inbound\"", "reason=tls_failure"}))
      << mesh_->ZtunnelLog("node-2");
}

TEST_F(Hostile, DestinationsThatFailAreNamed) {
  struct Case {
    const char* url;
    const char* reason;
  };
  for (const Case& c : {Case{"http://203.0.113.7/", "connect_unreachable"},
                        Case{"http://nobody/", "no_healthy_endpoint"},
                        Case{"http://far:99/", "service_port_unknown"}}) {
    const double before = Closed("node-1", c.reason);
    const Outcome got = Get(c.url);
    EXPECT_TRUE(got.code == 7 || got.code == 56 || got.code == 52) << c.url << " " << got.code;
    EXPECT_TRUE(Logged("node-1", {"direction=\"outbound\"", std::string("reason=") + c.reason}))
        << c.url << mesh_->ZtunnelLog("node-1");
    EXPECT_TRUE(Eventually([&] { return Closed("node-1", c.reason) > before; })) << c.url;
  }
}

// A listener whose backlog is full: the kernel drops what else comes, as a black hole would.
constexpr const char* kBlackHole = R"py(
import socket, sys, time
l = socket.socket(); l.bind(('0.0.0.0', 7000)); l.listen(0)
held = []
for _ in range(3):
    s = socket.socket(); s.setblocking(False); s.connect_ex(('127.0.0.1', 7000)); held.append(s)
print('full', flush=True)
time.sleep(600)
)py";

TEST_F(Hostile, ADestinationThatIsSilentIsTheClientsTimeoutOrOurs) {
  Background outside(mesh_->ExecWords("outside/foreign", {"python3", "-c", kBlackHole}));
  Background inside(mesh_->ExecWords("shop/near", {"python3", "-c", kBlackHole}));
  Background across(mesh_->ExecWords("shop/far", {"python3", "-c", kBlackHole}));
  const auto stranger = [](const std::string& pod) { return mesh_->PodIp(pod) + ":7000"; };
  ASSERT_TRUE(Eventually([&] {
    return mesh_->Exec("shop/far", {"curl", "-s", "-m", "1", "http://127.0.0.1:7000/"}).code ==
               28 &&
           mesh_->Exec("shop/near", {"curl", "-s", "-m", "1", "http://127.0.0.1:7000/"}).code == 28;
  }));
  // The client's own timeout is the shorter one.
  EXPECT_EQ(
      mesh_->Exec("shop/client", {"curl", "-s", "-m", "1", "http://" + stranger("shop/far")}).code,
      28);
  // Without one, all at once so that the test waits for one of them only.
  const Outcome all = mesh_->Exec(
      "shop/client",
      {"bash", "-c", "for a in \"$@\"; do (curl -s -m 25 http://$a/; echo $a $?) & done; wait", "-",
       stranger("shop/far"), stranger("shop/near")},
      std::chrono::seconds(40));
  for (const char* pod : {"shop/far", "shop/near"}) {
    EXPECT_TRUE(all.out.find(stranger(pod) + " 56\n") != std::string::npos ||
                all.out.find(stranger(pod) + " 52\n") != std::string::npos)
        << pod << ": " << all.out;
    EXPECT_TRUE(
        Logged("node-1", {"direction=\"outbound\"", stranger(pod), "reason=connect_timeout"}))
        << pod;
  }
  EXPECT_TRUE(
      Logged("node-2", {"direction=\"inbound\"", stranger("shop/far"), "reason=connect_timeout"}));
  EXPECT_GE(Closed("node-1", "connect_timeout"), 2);
}

// What a tunnel's server may do wrong, and what that is called.
struct BadServer {
  const char* name;
  const char* certificate;
  const char* behaviour;
  const char* reason;
};

const BadServer kBadServers[] = {
    {"OtherTrustDomain", "abroad", "request(tls())", "identity_mismatch"},
    {"OtherIdentity", "other", "request(tls())", "identity_mismatch"},
    {"StrangeAuthority", "unsigned", "request(tls())", "tls_failure"},
    {"ClosesBeforeTls", "foreign", "pass", "tls_failure"},
    {"SpeaksNoTls", "foreign",
     "c.sendall(b'HTTP/1.1 400 Bad Request\\r\\n\\r\\n'); c.recv(1 << 16)", "tls_failure"},
    {"SpeaksNoHttp2", "foreign",
     "s = tls(); exactly(s, len(PREFACE)); s.sendall(b'HTTP/1.1 400 Bad Request\\r\\n\\r\\n')\n"
     "while s.recv(1 << 16): pass",
     "h2_failure"},
    {"AnswersWithAHugeFrame", "foreign",
     "s = tls(); s.sendall(frame(4, 0, 0)); request(s); s.sendall(frame(0, 0, 1, bytes(2 << 20)))\n"
     "while s.recv(1 << 16): pass",
     "h2_failure"},
    {"Answers500", "foreign",
     "s = tls(); s.sendall(frame(4, 0, 0)); request(s); s.sendall(frame(1, 5, 1, b'\\x8e'))\n"
     "while s.recv(1 << 16): pass",
     "tunnel_refused"},
    {"ResetsTheStream", "foreign",
     "s = tls(); s.sendall(frame(4, 0, 0)); request(s)\n"
     "s.sendall(frame(3, 0, 1, bytes(3) + b'\x02')); s.recv(9)",
     "tunnel_refused"},
};

class BadServers : public Hostile, public testing::WithParamInterface<BadServer> {
 protected:
  static void SetUpTestSuite() {
    Hostile::SetUpTestSuite();
    if (mesh_ == nullptr || !mesh_->problem().empty()) return;
    const std::string ca = mesh_->root() + "/test-ca";
    const std::string right = "spiffe://cluster.local/ns/outside/sa/foreign";
    ASSERT_EQ(MakeAuthority(ca).code, 0);
    ASSERT_EQ(IssueCertificate(ca, Certificate("unsigned"), right).code, 0);
    ASSERT_EQ(IssueCertificate(mesh_->root() + "/pki/ca", Certificate("abroad"),
                               "spiffe://elsewhere.example/ns/outside/sa/foreign")
                  .code,
              0);
  }
};

TEST_P(BadServers, IsRefusedAtOnceAndNamed) {
  const BadServer& server = GetParam();
  Background running(mesh_->ExecWords(
      "outside/foreign", ServeTunnelsBadly(Certificate(server.certificate), server.behaviour)));
  const double before = Closed("node-1", server.reason);
  Outcome got;
  absl::Duration took;
  // Until the server listens, the reason is another.
  EXPECT_TRUE(Eventually([&] {
    const absl::Time begin = absl::Now();
    got = Get("http://" + mesh_->PodIp("outside/foreign") + ":8080/");
    took = absl::Now() - begin;
    return got.code == 0 || Closed("node-1", server.reason) > before;
  })) << running.Stop().out
      << mesh_->ZtunnelLog("node-1");
  EXPECT_TRUE(Refused(got.code)) << got.code << got.err;
  EXPECT_LT(took, absl::Seconds(5)) << "no timeout ended it";
  EXPECT_TRUE(
      Logged("node-1", {"direction=\"outbound\"", mesh_->PodIp("outside/foreign") + ":15008",
                        std::string("reason=") + server.reason}));
  // Nobody else suffers from it.
  EXPECT_EQ(Get("http://far/").code, 0);
}

TEST_F(Hostile, AServerThatNeverFinishesTlsIsGivenUp) {
  Background running(mesh_->ExecWords(
      "outside/foreign",
      ServeTunnelsBadly(Certificate("foreign"), "c.recv(1 << 16); threading.Event().wait(60)")));
  const double before = Closed("node-1", "tls_failure");
  Outcome got;
  EXPECT_TRUE(Eventually([&] {
    got = Get("http://" + mesh_->PodIp("outside/foreign") + ":8080/");
    return got.code == 0 || Closed("node-1", "tls_failure") > before;
  })) << mesh_->ZtunnelLog("node-1");
  EXPECT_TRUE(Refused(got.code)) << got.code << got.err;
  EXPECT_TRUE(Logged("node-1", {"direction=\"outbound\"", "reason=tls_failure",
                                "TLS handshake took longer than 10 s"}));
}

INSTANTIATE_TEST_SUITE_P(Ways, BadServers, testing::ValuesIn(kBadServers),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace mesh::test
