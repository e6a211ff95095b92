// What connections see while the things around them come and go: ztunnel ends, certificates are
// renewed, pods are removed, addresses pass to other pods, a pod's network breaks.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>

#include <algorithm>
#include <map>

#include "tests/support/mesh_test.h"
#include "tests/support/objects.h"
#include "tests/support/pod_script.h"

namespace mesh::test {
namespace {

const std::string kManifests = kShopAndOutside + R"(---
apiVersion: v1
kind: Service
metadata: {name: near, namespace: shop}
spec: {selector: {app: near}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 9000}]}
---
apiVersion: v1
kind: Service
metadata: {name: far, namespace: shop}
spec: {selector: {app: far}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 9000}]}
---
apiVersion: v1
kind: Service
metadata: {name: pair, namespace: shop}
spec: {selector: {role: pair}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 9000}]}
)";

std::string Account(const std::string& name) {
  return "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: " + name +
         ", namespace: shop}\n";
}

struct PodSpec {
  std::string name;
  std::string node = "node-1";
  std::string account = "default";
  std::string ns = "shop";
  std::string role = "none";
  std::string address = {};  // empty: any
  std::string labels = {};   // ", key: value"
};

std::string Pod(const PodSpec& pod) {
  std::string yaml = "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: " + pod.name +
                     "\n  namespace: " + pod.ns + "\n  labels: {app: " + pod.name +
                     ", role: " + pod.role + ", version: " + pod.name + pod.labels + "}\n";
  if (!pod.address.empty()) {
    yaml += "  annotations: {local.mesh/address: \"" + pod.address + "\"}\n";
  }
  return yaml + "spec:\n  nodeName: " + pod.node + "\n  serviceAccountName: " + pod.account +
         "\n  terminationGracePeriodSeconds: 1\n  containers:\n"
         "  - {name: http, image: culvert/meshapp, command: [meshapp, serve, --port, \"8080\", "
         "--name, " +
         pod.name +
         "]}\n"
         "  - {name: echo, image: culvert/meshapp, command: [meshapp, tcp-echo, --port, "
         "\"9000\"]}\n";
}

const std::string kId = "spiffe://cluster.local/ns/shop/sa/";

class Lifecycle : public MeshTest {
 protected:
  static void SetUpTestSuite() {
    // Short lives, so that their ends are seen: certificates, idle tunnels, drains, keep-alives.
    ::setenv("MESH_LOCAL_ENV",
             "SECRET_TTL=20s POOL_UNUSED_RELEASE_TIMEOUT=100ms CONNECTION_TERMINATION_DEADLINE=6s "
             "KEEPALIVE_TIME=1s KEEPALIVE_INTERVAL=1s KEEPALIVE_RETRIES=2",
             1);
    ::setenv("MESH_LOCAL_CONTROLLER_FLAGS", "--max-cert-lifetime 20s", 1);
    const bool up = Up("lifecycle",
                       kManifests + Account("client") + Account("server") + Account("victim") +
                           Account("heir") + Pod({.name = "client", .account = "client"}) +
                           Pod({.name = "near", .account = "server"}) +
                           Pod({.name = "far", .node = "node-2", .account = "server"}) +
                           Pod({.name = "keeper", .node = "node-2", .account = "heir"}),
                       {"shop/client", "shop/near", "shop/far", "shop/keeper"});
    ::unsetenv("MESH_LOCAL_ENV");
    ::unsetenv("MESH_LOCAL_CONTROLLER_FLAGS");
    if (!up) return;
    ASSERT_TRUE(Eventually([] { return Get("far").code == 0 && Get("near").code == 0; }));
  }

  static void Start(const std::string& yaml, const std::string& pod) {
    const Outcome applied = mesh_->Apply(yaml);
    ASSERT_EQ(applied.code, 0) << applied.out << applied.err;
    ASSERT_TRUE(mesh_->WaitReady({pod})) << mesh_->Meshctl({"status"}).out;
  }
  static void Remove(const std::string& ns, const std::string& name) {
    ASSERT_EQ(mesh_->Meshctl({"local", "delete", "Pod", name, "-n", ns}).code, 0);
    ASSERT_TRUE(Eventually([&] {
      return mesh_->Meshctl({"local", "get", "Pod", name, "-n", ns, "-o", "json"}).code != 0;
    }));
  }
  static Outcome Get(const std::string& host) {
    return mesh_->Exec("shop/client", {"curl", "-sS", "-m", "8", "http://" + host + "/"});
  }
  static std::string Http(const std::string& pod) { return mesh_->PodIp(pod) + ":8080"; }
  static bool Logged(const char* node, const std::vector<std::string>& parts) {
    return Eventually([&] { return !Lines(mesh_->ZtunnelLog(node), parts).empty(); });
  }
  static std::string ConfigDump(const std::string& node) {
    return RunCommand({"nsenter", "--net=" + mesh_->NodeNetnsPath(node), "curl", "-s", "-m", "5",
                       "http://127.0.0.1:15000/config_dump"})
        .out;
  }
  static size_t Fetched(const char* node, const std::string& account) {
    return Lines(mesh_->ZtunnelLog(node), {"certificate obtained", "identity=" + kId + account})
        .size();
  }
};

// One connection that ends by itself while ztunnel drains, and one that stays to the deadline.
constexpr const char* kTwo = R"(
to = (sys.argv[1], 9000)
a, b = [socket.create_connection(to, timeout=30) for _ in range(2)]
def exchange(s, byte):
    s.sendall(byte)
    return s.recv(2) == byte
say('held' if exchange(a, b'1') and exchange(b, b'1') else 'broken')
wait('exchange')
say('alive' if exchange(a, b'2') and exchange(b, b'2') else 'broken')
a.shutdown(socket.SHUT_WR)
say('ended' if a.recv(2) == b'' else 'broken')
try: say('silence' if b.recv(2) == b'' else 'broken')
except ConnectionResetError: say('reset')
)";

TEST_F(Lifecycle, ADrainingZtunnelServesWhatItHasAndTakesNothingNew) {
  struct Case {
    const char* host;
    const char* node;  // whose ztunnel is told to end
    bool over_http;
  };
  for (const Case c :
       {Case{"far", "node-1", false}, Case{"far", "node-2", false}, Case{"near", "node-1", true}}) {
    SCOPED_TRACE(std::string(c.host) + ", " + c.node + (c.over_http ? ", quitquitquit" : ""));
    const std::string process = std::string("ztunnel-") + c.node;
    const size_t drained = Lines(mesh_->ZtunnelLog(c.node), {":9000", "reason=drained"}).size();
    const size_t begun = Lines(mesh_->ZtunnelLog(c.node), {"draining", "cause="}).size();
    PodScript two(*mesh_, "shop/client", std::string("drain-") + c.host + c.node, kTwo,
                  {mesh_->PodIp(std::string("shop/") + c.host)});
    ASSERT_TRUE(two.Says("held")) << two.Said() << two.Stop();
    const int pid = mesh_->PidOf(process);
    if (c.over_http) {
      EXPECT_EQ(RunCommand({"nsenter", "--net=" + mesh_->NodeNetnsPath(c.node), "curl", "-sS", "-m",
                            "5", "-X", "POST", "http://127.0.0.1:15000/quitquitquit"})
                    .code,
                0);
    } else {
      ASSERT_EQ(::kill(pid, SIGTERM), 0);
    }
    ASSERT_TRUE(Eventually(
        [&] { return Lines(mesh_->ZtunnelLog(c.node), {"draining", "cause="}).size() > begun; }));
    // By address: the name service goes first.
    const int code = Get(Http(std::string("shop/") + c.host)).code;
    EXPECT_TRUE(code == 7 || code == 52 || code == 56) << code;
    two.Tell("exchange");
    EXPECT_TRUE(two.Says("alive")) << two.Said();
    EXPECT_TRUE(two.Says("ended")) << two.Said();
    EXPECT_TRUE(two.Says("reset")) << two.Said() << two.Stop();
    EXPECT_TRUE(Eventually([&] {
      return Lines(mesh_->ZtunnelLog(c.node), {":9000", "reason=drained"}).size() > drained;
    })) << mesh_->ZtunnelLog(c.node);
    EXPECT_TRUE(Eventually([&] {
      const int now = mesh_->PidOf(process);
      return now > 0 && now != pid && Get(c.host).code == 0;
    })) << "no traffic through the one that came after";
  }
}

TEST_F(Lifecycle, CertificatesAreRenewedUnderTraffic) {
  const size_t before[] = {Fetched("node-1", "client"), Fetched("node-2", "server")};
  int requests = 0;
  // Idle tunnels go at once, so that every request makes a handshake of its own.
  const bool renewed = Eventually(
      [&] {
        ++requests;
        const Outcome got = Get("far");
        EXPECT_EQ(got.code, 0) << "request " << requests << ": " << got.err;
        return Fetched("node-1", "client") >= before[0] + 2 &&
               Fetched("node-2", "server") >= before[1] + 2;
      },
      std::chrono::seconds(60));
  EXPECT_TRUE(renewed);
  EXPECT_GT(requests, 5);
}

TEST_F(Lifecycle, WithoutTheControllerTheCertificateInUseServesOn) {
  const size_t fetched = Fetched("node-1", "client");
  ASSERT_TRUE(Eventually([&] { return Fetched("node-1", "client") > fetched; }));
  // Stopped, not killed: the supervisor would have another one up at once.
  const int controller = mesh_->PidOf("controller");
  ASSERT_EQ(::kill(controller, SIGSTOP), 0);
  const size_t at_stop = Fetched("node-1", "client");
  // Renewal is due 8 s after the fetch, the end 18 s after it.
  ::sleep(11);
  const Outcome got = Get("far");
  const size_t after = Fetched("node-1", "client");
  ASSERT_EQ(::kill(controller, SIGCONT), 0);
  EXPECT_EQ(got.code, 0) << got.err;
  EXPECT_EQ(after, at_stop) << "a controller that is stopped cannot have signed";
  EXPECT_TRUE(
      Eventually([&] { return Fetched("node-1", "client") > at_stop; }, std::chrono::seconds(60)));
  EXPECT_TRUE(Eventually([] { return Get("far").code == 0; }));
}

TEST_F(Lifecycle, CertificatesAreFetchedForPodsOfTheNodeOnly) {
  const std::map<std::string, std::vector<const char*>> here = {{"node-1", {"client", "server"}},
                                                                {"node-2", {"server", "heir"}}};
  for (const auto& [node, accounts] : here) {
    const std::string dump = ConfigDump(node);
    const size_t at = dump.find("\"certificates\"");
    ASSERT_NE(at, std::string::npos) << dump;
    const std::string certificates = dump.substr(at, dump.find("\"workloadState\"", at) - at);
    for (const char* account : {"client", "server", "heir", "victim"}) {
      const bool local = std::ranges::find(accounts, std::string_view(account)) != accounts.end();
      EXPECT_EQ(certificates.find("\"" + kId + account + "\"") != std::string::npos, local)
          << node << " " << account;
    }
  }
}

TEST_F(Lifecycle, AnAddressOfAnotherPodIsNeverReachedUnderTheOldName) {
  Start(Pod({.name = "old", .node = "node-2", .account = "victim"}), "shop/old");
  const std::string ip = mesh_->PodIp("shop/old");
  // Until the client's node has heard of a pod, its address is one outside the mesh.
  const auto reached = [&](const std::string& name, const std::string& account) {
    return Get(ip + ":8080").out.find("\"service\":\"" + name + "\"") != std::string::npos &&
           !Lines(mesh_->ZtunnelLog("node-1"),
                  {ip + ":8080", "dst.identity=\"" + kId + account + "\""})
                .empty();
  };
  ASSERT_TRUE(Eventually([&] { return reached("old", "victim"); }));
  // The client's node hears of nothing: to it the address is still the old pod's.
  const int controller = mesh_->PidOf("controller");
  ASSERT_EQ(::kill(controller, SIGSTOP), 0);
  Remove("shop", "old");
  Start(Pod({.name = "new", .node = "node-2", .account = "heir", .address = ip}), "shop/new");
  const std::string got_ip = mesh_->PodIp("shop/new");
  const Outcome stale = Get(ip + ":8080");
  ASSERT_EQ(::kill(controller, SIGCONT), 0);
  ASSERT_EQ(got_ip, ip);
  EXPECT_NE(stale.code, 0) << stale.out;
  EXPECT_TRUE(Logged("node-1", {ip + ":8080", "reason=identity_mismatch"}))
      << mesh_->ZtunnelLog("node-1");
  EXPECT_TRUE(Eventually([&] { return reached("new", "heir"); }));
  Remove("shop", "new");
}

TEST_F(Lifecycle, ARemovedServersConnectionsEndAndItsServiceGoesOnWithoutIt) {
  Start(Pod({.name = "pair-1", .role = "pair"}), "shop/pair-1");
  Start(Pod({.name = "pair-2", .node = "node-2", .role = "pair"}), "shop/pair-2");
  const auto fifty = [] {
    return mesh_
        ->Exec("shop/client",
               {"bash", "-c",
                "for i in $(seq 50); do curl -sS -m 8 http://pair/; echo; done | grep -o "
                "'\"service\":\"[^\"]*\"' | sort | uniq -c"},
               std::chrono::seconds(60))
        .out;
  };
  const auto reached = [](const std::string& counts, const std::string& name) {
    return counts.find("\"" + name + "\"") != std::string::npos;
  };
  std::string counts;
  ASSERT_TRUE(Eventually([&] {
    counts = fifty();
    return reached(counts, "pair-1") && reached(counts, "pair-2");
  })) << counts;

  constexpr const char* kUntilEnd = R"(
s = socket.create_connection((sys.argv[1], 9000), timeout=30)
s.sendall(b'x'); s.recv(1)
say('held')
try: s.recv(1)
except ConnectionResetError: pass
say('ended')
)";
  for (const std::string name : {"pair-2", "pair-1"}) {
    PodScript held(*mesh_, "shop/client", "held-" + name, kUntilEnd,
                   {mesh_->PodIp("shop/" + name)});
    ASSERT_TRUE(held.Says("held")) << held.Stop();
    Remove("shop", name);
    EXPECT_TRUE(held.Says("ended")) << held.Said() << held.Stop();
    if (name == "pair-2") {
      EXPECT_TRUE(Eventually([&] {
        counts = fifty();
        return counts.find("50 \"service\":\"pair-1\"") != std::string::npos;
      })) << counts;
    }
  }
  EXPECT_TRUE(Eventually([] {
    const int code = Get("pair").code;
    return code == 7 || code == 52 || code == 56;
  }));
  EXPECT_TRUE(Logged("node-1", {"pair.shop.svc.cluster.local", "reason=no_healthy_endpoint"}))
      << mesh_->ZtunnelLog("node-1");
}

TEST_F(Lifecycle, APodWhoseNetworkBreaksIsAloneInIt) {
  Start(Pod({.name = "broken"}), "shop/broken");
  const std::string ip = mesh_->PodIp("shop/broken");
  ASSERT_TRUE(Eventually([&] { return Get(ip + ":8080").code == 0; }));
  const std::string json =
      mesh_->Meshctl({"local", "get", "Pod", "broken", "-n", "shop", "-o", "json"}).out;
  const size_t at = json.find("/run/netns/");
  ASSERT_NE(at, std::string::npos) << json;
  const std::string path = json.substr(at, json.find('"', at) - at);
  ASSERT_EQ(RunCommand({"nsenter", "--net=" + path, "ip", "link", "del", "eth0"}).code, 0);
  ASSERT_EQ(::umount2(path.c_str(), MNT_DETACH), 0);
  EXPECT_EQ(Get("near").code, 0);
  EXPECT_EQ(Get("far").code, 0);
  Start(Pod({.name = "after-broken"}), "shop/after-broken");
  EXPECT_TRUE(Eventually([] { return Get(Http("shop/after-broken")).code == 0; }));
  Remove("shop", "broken");
  EXPECT_EQ(Get("near").code, 0);
  Remove("shop", "after-broken");
}

TEST_F(Lifecycle, APodThatHoldsAPortOfTheMeshIsAloneInIt) {
  PodSpec taken = {.name = "taken", .ns = "outside"};
  Start(Pod(taken), "outside/taken");
  PodScript holder(*mesh_, "outside/taken", "holder",
                   "s = socket.create_server(('', 15008))\nsay('bound')\nwait('end')\n");
  ASSERT_TRUE(holder.Says("bound")) << holder.Stop();
  taken.labels = ", istio.io/dataplane-mode: ambient";
  ASSERT_EQ(mesh_->Apply(Pod(taken)).code, 0);
  EXPECT_TRUE(Logged("node-1", {"cannot be served yet", "outside/taken", "15008"}))
      << mesh_->ZtunnelLog("node-1");
  EXPECT_EQ(Get("near").code, 0);
  Start(Pod({.name = "after-taken"}), "shop/after-taken");
  EXPECT_TRUE(Eventually([] { return Get(Http("shop/after-taken")).code == 0; }));
  EXPECT_EQ(mesh_->Exec("shop/after-taken", {"curl", "-sS", "-m", "8", "http://far/"}).code, 0);
  holder.Tell("end");
  EXPECT_TRUE(Logged("node-1", {"pod enrolled", "outside/taken"})) << "not tried again";
  EXPECT_TRUE(Eventually([] { return Get(Http("outside/taken")).code == 0; }));
  Remove("outside", "taken");
  Remove("shop", "after-taken");
}

// A server of one connection: what the client does, and what the server does in turn.
constexpr const char* kServer = R"(
l = socket.create_server(('', 7777))
say('listening')
s, _ = l.accept()
s.settimeout(30)
if sys.argv[1] == 'resets':
    s.recv(1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); s.close()
    say('done')
else:
    try:
        while True:
            b = s.recv(1)
            if not b: say('end'); break
            s.sendall(b)
    except ConnectionResetError: say('reset')
)";
constexpr const char* kClient = R"(
s = socket.create_connection((sys.argv[2], 7777), timeout=30)
def exchange():
    s.sendall(b'x')
    return s.recv(2) == b'x'
how = sys.argv[1]
if how == 'resets':
    say('exchanged' if exchange() else 'broken')
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); s.close()
elif how == 'is reset':
    s.sendall(b'x')
    try: say('end' if s.recv(1) == b'' else 'broken')
    except ConnectionResetError: say('reset')
elif how == 'byte by byte':
    say('exchanged' if all(exchange() for _ in range(500)) else 'broken')
    s.close()
elif how == 'silent':
    first = exchange(); time.sleep(5)
    say('exchanged' if first and exchange() else 'broken')
    s.close()
)";

TEST_F(Lifecycle, ResetsEndsSmallWritesAndSilenceArePassedOnAsTheyAre) {
  struct Case {
    std::string client;
    std::string server;
    std::string client_says;
    std::string server_says;
  };
  // The silence outlasts the keep-alives of the suite: 1 s, and two more of them unanswered.
  const Case cases[] = {{"resets", "echoes", "exchanged", "reset"},
                        {"is reset", "resets", "reset", "done"},
                        {"byte by byte", "echoes", "exchanged", "end"},
                        {"silent", "echoes", "exchanged", "end"}};
  for (const std::string host : {"near", "far"}) {
    for (const Case& c : cases) {
      SCOPED_TRACE(host + ": client " + c.client);
      const std::string name = host + "-" + c.client.substr(0, 4);
      PodScript server(*mesh_, "shop/" + host, "server-" + name, kServer, {c.server});
      ASSERT_TRUE(server.Says("listening")) << server.Stop();
      PodScript client(*mesh_, "shop/client", "client-" + name, kClient,
                       {c.client, mesh_->PodIp("shop/" + host)});
      EXPECT_TRUE(client.Says(c.client_says)) << client.Said() << client.Stop();
      EXPECT_TRUE(server.Says(c.server_says)) << server.Said() << server.Stop();
    }
  }
}

}  // namespace
}  // namespace mesh::test
