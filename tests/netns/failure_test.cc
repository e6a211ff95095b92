// What clients see when a process of the mesh is killed, and how it comes back.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "tests/support/mesh_test.h"
#include "tests/support/objects.h"

namespace mesh::test {
namespace {

const std::string kManifests = kShopAndOutside + R"(---
apiVersion: v1
kind: Service
metadata: {name: server, namespace: shop}
spec:
  selector: {app: server}
  ports:
  - {name: http, port: 80, targetPort: 8080}
)" + IdlePod("shop", "client", "node-1") +
                               IdlePod("outside", "stranger", "node-1") +
                               ServingPod("shop", "server", "node-2") + R"(---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
)";

class Failure : public MeshTest {
 protected:
  static void SetUpTestSuite() {
    if (!Up("failure", kManifests, {"shop/client", "shop/server", "outside/stranger"})) return;
    ASSERT_TRUE(Eventually([] { return Get().code == 0; }));
  }

  static Outcome Get() {
    return mesh_->Exec("shop/client", {"curl", "-sS", "-m", "5", "http://server/"});
  }
  static int StrangerCode() {
    return mesh_
        ->Exec("outside/stranger",
               {"curl", "-sS", "-m", "5", "http://" + mesh_->PodIp("shop/server") + ":8080/"})
        .code;
  }
  // Kills with -9, and looks while there is no other: the supervisor is held back meanwhile.
  template <typename Look>
  static void WhileDead(const char* process, Look look) {
    const int pid = mesh_->PidOf(process);
    ASSERT_GT(pid, 0) << process;
    const Paused supervisor(ParentOf(pid));
    ASSERT_EQ(::kill(pid, SIGKILL), 0);
    ASSERT_TRUE(Eventually([pid] { return StateOf(pid) == 'Z'; })) << process;
    look();
    EXPECT_EQ(StateOf(pid), 'Z') << process << " was replaced while we looked";
  }
};

TEST_F(Failure, ZtunnelAwayMeansRefusedNeverPlainText) {
  // The kernel answers, at once: a stranger to a STRICT pod, and a peer.
  WhileDead("ztunnel-node-2", [] {
    for (int i = 0; i < 3; ++i) {
      const int stranger = StrangerCode(), peer = Get().code;
      EXPECT_TRUE(Refused(stranger)) << stranger;
      EXPECT_TRUE(Refused(peer)) << peer;
    }
  });
  // And while it comes back.
  for (int i = 0; i < 20; ++i) EXPECT_NE(StrangerCode(), 0);
  EXPECT_TRUE(Eventually([] { return Get().code == 0; })) << "no traffic after the restart";
  EXPECT_NE(StrangerCode(), 0);
}

TEST_F(Failure, ZtunnelAwayOnTheClientsNodeMeansRefusedAndItComesBack) {
  // By address: there is no name service either.
  const std::string url = "http://" + mesh_->PodIp("shop/server") + ":8080/";
  WhileDead("ztunnel-node-1", [&url] {
    const int code = mesh_->Exec("shop/client", {"curl", "-sS", "-m", "5", url}).code;
    EXPECT_TRUE(Refused(code)) << code;
  });
  EXPECT_TRUE(Eventually([] { return Get().code == 0; }));
}

TEST_F(Failure, AgentKilledDisturbsNothing) {
  const int old = mesh_->PidOf("agent-node-1");
  ASSERT_GT(old, 0);
  Background load(
      mesh_->ExecWords("shop/client", {"bash", "-c",
                                       "for i in $(seq 60); do curl -sS -m 5 -o /dev/null "
                                       "http://server/ && echo GOOD || echo BAD; done"}));
  WhileDead("agent-node-1", [] {
    for (int i = 0; i < 5; ++i) EXPECT_EQ(Get().code, 0);
  });
  ASSERT_TRUE(Eventually([&] {
    const int pid = mesh_->PidOf("agent-node-1");
    return pid > 0 && pid != old && ::kill(pid, 0) == 0;
  }));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Get().code, 0);
  ::usleep(1'500'000);
  const std::string out = load.Stop().out;
  EXPECT_EQ(out.find("BAD"), std::string::npos) << out;
  EXPECT_NE(out.find("GOOD"), std::string::npos) << out;
  // It adopted what was pinned and enrols new pods again.
  const Outcome applied = mesh_->Apply(R"(
apiVersion: v1
kind: Pod
metadata: {name: late, namespace: shop}
spec:
  nodeName: node-1
  containers:
  - {name: app, image: culvert/meshapp, command: [meshapp, sleep]}
)");
  ASSERT_EQ(applied.code, 0) << applied.out << applied.err;
  ASSERT_TRUE(mesh_->WaitReady({"shop/late"}));
  EXPECT_TRUE(Eventually([] {
    return mesh_->Exec("shop/late", {"curl", "-sS", "-m", "5", "http://server/"}).code == 0;
  }));
}

TEST_F(Failure, ControllerAwayChangesNothingAndItsStateSurvives) {
  const int old = mesh_->PidOf("controller");
  ASSERT_GT(old, 0);
  WhileDead("controller", [] {
    for (int i = 0; i < 10; ++i) EXPECT_EQ(Get().code, 0);
  });
  ASSERT_TRUE(Eventually([&] {
    const int pid = mesh_->PidOf("controller");
    return pid > 0 && pid != old && ::kill(pid, 0) == 0;
  }));
  // A change made after its return arrives: the proxies have connected again.
  const Outcome applied = mesh_->Apply(R"(
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny-all, namespace: shop}
spec: {}
)");
  ASSERT_EQ(applied.code, 0) << applied.out << applied.err;
  EXPECT_TRUE(Eventually([] { return Get().code != 0; }));
  EXPECT_EQ(
      mesh_->Meshctl({"local", "delete", "AuthorizationPolicy", "deny-all", "-n", "shop"}).code, 0);
  EXPECT_TRUE(Eventually([] { return Get().code == 0; }));
}

TEST_F(Failure, ABadManifestIsNamedAndTheRestApplies) {
  const Outcome applied = mesh_->Apply(R"(
apiVersion: v1
kind: ConfigMap
metadata: {name: fine, namespace: shop}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: broken, namespace: shop}
spec:
  action: DENY
  rules:
  - from:
    - source: {ipBlocks: ["10.0.0.0/99"]}
)");
  EXPECT_EQ(applied.code, 1);
  EXPECT_NE((applied.out + applied.err).find("ipBlocks"), std::string::npos)
      << applied.out << applied.err;
  EXPECT_EQ(mesh_->Meshctl({"local", "get", "ConfigMap", "fine", "-n", "shop"}).code, 0);
  EXPECT_NE(mesh_->Meshctl({"local", "get", "AuthorizationPolicy", "broken", "-n", "shop"}).code,
            0);
  EXPECT_EQ(Get().code, 0);
}

}  // namespace
}  // namespace mesh::test
