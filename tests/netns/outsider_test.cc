// Pods that are not in the mesh, as people have them on the way into it: services by name, in and
// out of the mesh, with no kube-proxy and no packet rule; the cluster's name server; PERMISSIVE and
// STRICT as an outsider meets them.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <set>

#include "tests/support/dns_probe.h"
#include "tests/support/mesh_test.h"
#include "tests/support/objects.h"

namespace mesh::test {
namespace {

constexpr int kA = 1;

std::string Service(const std::string& ns, const std::string& name, const std::string& spec) {
  return "---\napiVersion: v1\nkind: Service\nmetadata: {name: " + name + ", namespace: " + ns +
         "}\nspec: {" + spec + "}\n";
}
std::string HttpService(const std::string& ns, const std::string& name, const std::string& app) {
  return Service(ns, name,
                 "ipFamilyPolicy: PreferDualStack, selector: {app: " + app +
                     "}, ports: [{name: http, port: 80, targetPort: 8080}]");
}
// Serves as NAME, and may be behind a service together with others.
std::string BackendOf(const std::string& app, const std::string& name, const std::string& node) {
  std::string pod = ServingPod("shop", name, node);
  const std::string label = "{app: " + name + "}";
  return pod.replace(pod.find(label), label.size(), "{app: " + app + "}");
}

// Answers a datagram with its text in capitals.
constexpr const char* kEcho = R"(---
apiVersion: v1
kind: Pod
metadata: {name: echo, namespace: outside, labels: {app: echo}}
spec:
  nodeName: node-2
  containers:
  - name: app
    image: culvert/meshapp
    command:
    - python3
    - -c
    - |
      import socket
      s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.bind(('::', 5000))
      while True:
          m, peer = s.recvfrom(4096); s.sendto(m.upper(), peer)
)";

// In the namespace of the mesh, and not in it.
constexpr const char* kOptedOut = R"(---
apiVersion: v1
kind: Pod
metadata:
  name: opted-out
  namespace: shop
  labels: {app: opted-out, istio.io/dataplane-mode: none}
spec:
  nodeName: node-2
  containers:
  - {name: app, image: culvert/meshapp, command: [meshapp, serve, --port, "8080", --name, opted-out]}
)";

constexpr const char* kStateful = R"(---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers:
      - {name: app, image: culvert/meshapp, command: [meshapp, serve, --port, "8080", --name, db]}
)";

constexpr const char* kStrict =
    "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"
    "metadata: {name: peers, namespace: shop}\nspec: {mtls: {mode: STRICT}}\n";

class Outsider : public MeshTest {
 protected:
  static void SetUpTestSuite() {
    if (!Up("outsider",
            kShopAndOutside + IdlePod("outside", "stranger", "node-1") +
                IdlePod("shop", "client", "node-1") + ServingPod("outside", "plain", "node-2") +
                BackendOf("web", "web-1", "node-1") + BackendOf("web", "web-2", "node-2") + kEcho +
                kOptedOut + kStateful + HttpService("shop", "web", "web") +
                HttpService("shop", "opted-out", "opted-out") +
                HttpService("shop", "empty", "late") + HttpService("outside", "plain", "plain") +
                Service("shop", "db",
                        "clusterIP: None, selector: {app: db}, ports: [{name: http, port: 8080}]") +
                Service("outside", "echo",
                        "ipFamilyPolicy: PreferDualStack, selector: {app: echo}, "
                        "ports: [{name: udp, port: 7, targetPort: 5000, protocol: UDP}]"),
            {"outside/stranger", "shop/client", "outside/plain", "shop/web-1", "shop/web-2",
             "outside/echo", "shop/opted-out", "shop/db-0", "shop/db-1"}))
      return;
    for (const char* host : {"web.shop", "opted-out.shop", "plain", "db.shop:8080"}) {
      ASSERT_TRUE(Eventually([&] { return Get("outside/stranger", host).code == 0; }))
          << host << ": " << Get("outside/stranger", host).err;
    }
    ASSERT_TRUE(Eventually([] { return Get("shop/client", "web").code == 0; }));
  }

  static Outcome Get(const std::string& from, const std::string& host,
                     const std::vector<std::string>& flags = {}) {
    std::vector<std::string> words = {"curl", "-sS", "-m", "8"};
    words.insert(words.end(), flags.begin(), flags.end());
    words.push_back("http://" + host + "/");
    return mesh_->Exec(from, words);
  }
  // The address that curl says it was connected to.
  static std::string Peer(const std::string& host, const std::string& family) {
    return Get("outside/stranger", host, {family, "-o", "/dev/null", "-w", "%{remote_ip}"}).out;
  }
  static std::string ClusterIp(const std::string& ns, const std::string& service, size_t which) {
    const std::string json =
        mesh_->Meshctl({"local", "get", "Service", service, "-n", ns, "-o", "json"}).out;
    size_t at = json.find("\"clusterIPs\"");
    for (size_t i = 0; i <= which && at != std::string::npos; ++i) at = json.find('\n', at) + 1;
    const size_t open = json.find('"', at);
    return json.substr(open + 1, json.find('"', open + 1) - open - 1);
  }
  static std::string Dns(const std::string& from, const std::string& name, const std::string& how,
                         int type = kA) {
    const Outcome got = mesh_->Exec(from, DnsAsk("10.96.0.10", name, type, how));
    return got.out.substr(0, got.out.find('\n')) + got.err;
  }
  // Sends to a service over UDP; prints what came back, and from where.
  static std::string Datagram(const std::string& from, const std::string& how,
                              const std::string& family) {
    const Outcome got = mesh_->Exec(from, {"python3", "-c", R"(
import socket, sys
how, family = sys.argv[1], socket.AF_INET6 if sys.argv[2] == '6' else socket.AF_INET
to = socket.getaddrinfo('echo.outside.svc.cluster.local', 7, family, socket.SOCK_DGRAM)[0][4]
s = socket.socket(family, socket.SOCK_DGRAM); s.settimeout(5)
if how == 'connected':
    s.connect(to); s.send(b'hello'); print(s.recv(100).decode(), s.getpeername()[:2] == to[:2])
else:
    s.sendto(b'hello', to); m, peer = s.recvfrom(100); print(m.decode(), peer[:2] == to[:2])
)",
                                           how, family});
    return got.out + got.err;
  }
};

TEST_F(Outsider, ReachesServicesByNameInAndOutOfTheMesh) {
  for (const char* from : {"outside/stranger", "shop/opted-out"}) {
    EXPECT_EQ(Get(from, "web.shop").code, 0) << from;
    EXPECT_EQ(Get(from, "plain.outside").code, 0) << from;
    EXPECT_EQ(Get(from, "web.shop.svc.cluster.local").code, 0) << from;
  }
  EXPECT_EQ(Get("outside/stranger", "plain").code, 0) << "of its own namespace";
  EXPECT_EQ(Get("shop/opted-out", "web").code, 0) << "of its own namespace";
  EXPECT_EQ(Get("outside/stranger", "opted-out.shop").code, 0);
  EXPECT_EQ(Get("outside/stranger", "nothing.shop").code, 6) << "could not resolve";
}

TEST_F(Outsider, SeesTheServiceAsItsPeerInBothFamilies) {
  EXPECT_EQ(Peer("web.shop", "-4"), ClusterIp("shop", "web", 0));
  EXPECT_EQ(Peer("web.shop", "-6"), ClusterIp("shop", "web", 1));
  EXPECT_EQ(Peer("plain", "-4"), ClusterIp("outside", "plain", 0));
  // An IPv6 socket that speaks to an IPv4 service.
  const Outcome mapped = mesh_->Exec("outside/stranger", {"python3", "-c", R"(
import socket, sys
s = socket.socket(socket.AF_INET6); s.settimeout(5); s.connect(('::ffff:' + sys.argv[1], 80))
print(s.getpeername()[0])
)",
                                                          ClusterIp("shop", "web", 0)});
  EXPECT_EQ(mapped.out, "::ffff:" + ClusterIp("shop", "web", 0) + "\n") << mapped.err;
}

TEST_F(Outsider, IsSpreadOverWhoIsReady) {
  std::set<std::string> answers;
  EXPECT_TRUE(Eventually([&] {
    const Outcome got = Get("outside/stranger", "web.shop");
    answers.insert(got.out.substr(0, got.out.find(',')));
    return answers == std::set<std::string>{R"({"service":"web-1")", R"({"service":"web-2")"};
  })) << testing::PrintToString(answers);
}

TEST_F(Outsider, FindsHeadlessServicesAndTheirPods) {
  std::vector<std::string> ips = {mesh_->PodIp("shop/db-0"), mesh_->PodIp("shop/db-1")};
  std::ranges::sort(ips);
  for (const char* how : {"udp", "udp-unconnected", "tcp"}) {
    EXPECT_TRUE(
        Dns("outside/stranger", "db.shop.svc.cluster.local", how).ends_with(ips[0] + " " + ips[1]))
        << how << ": " << Dns("outside/stranger", "db.shop.svc.cluster.local", how);
    EXPECT_EQ(Dns("outside/stranger", "db-1.db.shop.svc.cluster.local", how),
              "rcode=0 tc=0 aa=1 answers=1 " + mesh_->PodIp("shop/db-1"));
  }
  EXPECT_EQ(Get("outside/stranger", "db-0.db.shop:8080").code, 0);
  EXPECT_EQ(Get("outside/stranger", "db.shop:8080").code, 0);
}

TEST_F(Outsider, IsRefusedAtOnceWhereNobodyIsReadyAndFollowsWhoComesAndGoes) {
  const Outcome empty = Get("outside/stranger", "empty.shop", {"-w", "%{time_total}"});
  EXPECT_EQ(empty.code, 7) << empty.err;
  EXPECT_LT(std::atof(empty.out.c_str()), 1.0);
  const std::string late = BackendOf("late", "late-1", "node-2");
  ASSERT_EQ(mesh_->Apply(late).code, 0);
  EXPECT_TRUE(Eventually([] { return Get("outside/stranger", "empty.shop").code == 0; }));
  ASSERT_EQ(mesh_->Delete(late).code, 0);
  EXPECT_TRUE(Eventually([] { return Get("outside/stranger", "empty.shop").code == 7; }));
}

TEST_F(Outsider, AServiceThatGoesLeavesNothingBehind) {
  const std::string brief = HttpService("outside", "brief", "plain");
  ASSERT_EQ(mesh_->Apply(brief).code, 0);
  ASSERT_TRUE(Eventually([] { return Get("outside/stranger", "brief").code == 0; }));
  const std::string ip = ClusterIp("outside", "brief", 0);
  EXPECT_EQ(Get("outside/stranger", ip).code, 0);
  ASSERT_EQ(mesh_->Delete(brief).code, 0);
  EXPECT_TRUE(Eventually([] { return Get("outside/stranger", "brief").code == 6; }));
  EXPECT_TRUE(Eventually([&] { return Get("outside/stranger", ip).code == 7; }));
}

TEST_F(Outsider, DatagramsReachServicesAndAnswersComeFromThem) {
  for (const char* from : {"outside/stranger", "shop/client"}) {
    for (const char* how : {"connected", "unconnected"}) {
      for (const char* family : {"4", "6"}) {
        EXPECT_EQ(Datagram(from, how, family), "HELLO True\n") << from << " " << how << family;
      }
    }
  }
}

// Observe, then PERMISSIVE, then STRICT.
TEST_F(Outsider, StagedAdoption) {
  EXPECT_EQ(Get("outside/stranger", "web.shop").code, 0);
  ASSERT_EQ(mesh_->Apply(kStrict).code, 0);
  EXPECT_TRUE(Eventually([] { return Refused(Get("outside/stranger", "web.shop").code); }));
  // Every pod behind the service, whichever the name stands for this time.
  for (int i = 0; i < 6; ++i) {
    EXPECT_TRUE(Refused(Get("outside/stranger", "web.shop").code));
    EXPECT_TRUE(Refused(Get("shop/opted-out", "web").code));
    EXPECT_EQ(Get("shop/client", "web").code, 0);
  }
  EXPECT_EQ(Get("outside/stranger", "opted-out.shop").code, 0) << "is not in the mesh";
  EXPECT_EQ(Get("shop/client", "plain.outside").code, 0) << "is not in the mesh";
  ASSERT_EQ(mesh_->Delete(kStrict).code, 0);
  EXPECT_TRUE(Eventually([] { return Get("outside/stranger", "web.shop").code == 0; }));
}

TEST_F(Outsider, AnOutsiderThatComesInHasAnIdentityAndLosesItWhenItGoes) {
  const std::string out = kOptedOut;
  std::string in = out;
  const std::string label = ", istio.io/dataplane-mode: none";
  in.erase(in.find(label), label.size());
  ASSERT_EQ(mesh_->Apply(kStrict).code, 0);
  ASSERT_TRUE(Eventually([] { return Refused(Get("shop/opted-out", "web").code); }));
  ASSERT_EQ(mesh_->Apply(in).code, 0);
  EXPECT_TRUE(Eventually([] { return Get("shop/opted-out", "web").code == 0; }));
  ASSERT_EQ(mesh_->Apply(out).code, 0);
  EXPECT_TRUE(Eventually([] { return Refused(Get("shop/opted-out", "web").code); }));
  ASSERT_EQ(mesh_->Delete(kStrict).code, 0);
  EXPECT_TRUE(Eventually([] { return Get("shop/opted-out", "web").code == 0; }));
}

TEST_F(Outsider, NamesThatAreNotTheClustersDoNotWaitForNobody) {
  for (const char* from : {"outside/stranger", "shop/client"}) {
    for (const char* how : {"udp", "tcp"}) {
      EXPECT_EQ(Dns(from, "nothing.shop.svc.cluster.local", how), "rcode=3 tc=0 aa=1 answers=0")
          << from << " " << how;
    }
  }
  EXPECT_EQ(Dns("outside/stranger", "web.shop.svc.cluster.local", "udp", 16),
            "rcode=0 tc=0 aa=1 answers=0");
  EXPECT_EQ(Dns("outside/stranger", "kube-dns.kube-system.svc.cluster.local", "udp"),
            "rcode=0 tc=0 aa=1 answers=1 10.96.0.10");
}

TEST_F(Outsider, ServicesStayWhileTheAgentIsAwayAndFollowAgainAfterIt) {
  const int agent = mesh_->PidOf("agent-node-1");
  ::kill(agent, SIGKILL);
  EXPECT_EQ(Get("outside/stranger", "web.shop").code, 0);
  EXPECT_TRUE(Eventually([&] { return mesh_->PidOf("agent-node-1") != agent; }));
  const std::string late = BackendOf("late", "late-2", "node-2");
  ASSERT_EQ(mesh_->Apply(late).code, 0);
  EXPECT_TRUE(Eventually([] { return Get("outside/stranger", "empty.shop").code == 0; }));
  ASSERT_EQ(mesh_->Delete(late).code, 0);
  EXPECT_TRUE(Eventually([] { return Get("outside/stranger", "empty.shop").code == 7; }));
}

}  // namespace
}  // namespace mesh::test
