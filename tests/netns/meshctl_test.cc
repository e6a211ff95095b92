// Each command of meshctl on a running mesh: its exit code and what it says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/mesh_test.h"
#include "tests/support/objects.h"
#include "ztunnel/base/files.h"

namespace mesh::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

constexpr int kFailed = 1, kUsage = 2, kNotRunning = 3;

const std::string kManifests = kShopAndOutside + R"(---
apiVersion: v1
kind: Service
metadata: {name: server, namespace: shop}
spec:
  selector: {app: server}
  ports:
  - {name: http, port: 80, targetPort: 8080}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: server, namespace: shop}
spec:
  replicas: 1
  selector: {matchLabels: {app: server}}
  template:
    metadata: {labels: {app: server}}
    spec:
      containers:
      - {name: app, image: culvert/meshapp, command: [meshapp, serve, --port, "8080"]}
)" + IdlePod("shop", "client", "node-1") +
                               IdlePod("shop", "twin", "node-1") +
                               IdlePod("outside", "twin", "node-2");

class Meshctl : public MeshTest {
 protected:
  static void SetUpTestSuite() {
    if (!Up("meshctl", kManifests, {"shop/client", "shop/twin", "outside/twin"})) return;
    ASSERT_TRUE(Eventually([] {
      return Run({"local", "ps", "-n", "shop"}).out.find("server-") != std::string::npos;
    }));
  }

  static Outcome Run(std::vector<std::string> words, const std::string& input = "") {
    return mesh_->Meshctl(std::move(words), input);
  }
  // Done: `out` on stdout and nothing complained of.
  static void Says(std::vector<std::string> words, const testing::Matcher<std::string>& out) {
    const Outcome got = Run(words);
    EXPECT_EQ(got.code, 0) << testing::PrintToString(words) << got.err;
    EXPECT_THAT(got.out, out) << testing::PrintToString(words);
    EXPECT_THAT(got.err, IsEmpty()) << testing::PrintToString(words);
  }
  // Not done: the code, the reason on stderr, nothing on stdout that a pipe would take for an
  // answer.
  static void Refuses(std::vector<std::string> words, int code,
                      const testing::Matcher<std::string>& err) {
    const Outcome got = Run(words);
    EXPECT_EQ(got.code, code) << testing::PrintToString(words);
    EXPECT_THAT(got.err, err) << testing::PrintToString(words);
    EXPECT_THAT(got.out, IsEmpty()) << testing::PrintToString(words);
  }
};

TEST_F(Meshctl, WrongUsageIsNamedAndHasItsCode) {
  Refuses({}, kUsage, HasSubstr("Subcommands:"));
  Refuses({"local"}, kUsage, HasSubstr("apply"));
  Refuses({"nonsense"}, kUsage, HasSubstr("no command \"nonsense\""));
  Refuses({"local", "nonsense"}, kUsage, HasSubstr("`meshctl local --help` lists them"));
  Refuses({"local", "logs"}, kUsage, HasSubstr("LOG is required"));
  Refuses({"local", "ps", "-o", "xml"}, kUsage, HasSubstr("xml not in"));
  Refuses({"local", "up", "--timeout", "soon"}, kUsage, HasSubstr("\"soon\" is no duration"));
  Refuses({"local", "up", "--manifests", "/nowhere"}, kUsage, HasSubstr("/nowhere"));
  Refuses({"local", "up", "--manifests", "/tmp"}, kFailed, HasSubstr("with other --manifests"));
  Refuses({"local", "exec", "client"}, kUsage, HasSubstr("the command is missing"));
  Refuses({"local", "exec", "client", "id"}, kUsage, HasSubstr("put \"--\" before the command"));
  Refuses({"local", "delete"}, kUsage, HasSubstr("delete KIND NAME"));
  Refuses({"--name", "a/b", "status"}, kUsage, HasSubstr("mesh name \"a/b\""));
  Says({"--version"}, StartsWith("meshctl "));
  Says({"version", "-o", "json"}, HasSubstr("\"version\""));
  Says({"local", "exec", "--help"}, HasSubstr("Usage: meshctl local exec"));
}

TEST_F(Meshctl, WithoutAMeshEveryCommandSaysSo) {
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"status"},
                                             {"bpf"},
                                             {"zc", "all"},
                                             {"local", "ps"},
                                             {"local", "get", "pods"},
                                             {"local", "logs", "runtime"},
                                             {"local", "exec", "p", "--", "id"},
                                             {"local", "apply", "-f", "/dev/null"},
                                             {"local", "delete", "pod", "p"}}) {
    std::vector<std::string> named = {"--name", mesh_->name() + "-absent"};
    named.insert(named.end(), words.begin(), words.end());
    Refuses(named, kNotRunning, HasSubstr("`meshctl local up` starts one"));
  }
  Says({"--name", mesh_->name() + "-absent", "local", "down"}, HasSubstr("nothing to take down"));
}

TEST_F(Meshctl, StatusTellsWhoIsInTheMeshAndWhy) {
  Says({"status"}, AllOf(HasSubstr("controller ready"), HasSubstr("ztunnel-node-2"),
                         HasSubstr("istio.io/dataplane-mode=ambient"),
                         HasSubstr("neither the pod nor its namespace has a label"),
                         HasSubstr("ns/shop/sa/default")));
  Says({"status", "-o", "json"}, HasSubstr("\"healthy\": true"));
  Says({"status", "-o", "yaml", "-n", "outside"},
       AllOf(HasSubstr("healthy: true"), HasSubstr("name: twin"), Not(HasSubstr("name: client"))));
}

TEST_F(Meshctl, PodsAreListedInEachForm) {
  Says({"local", "ps"}, AllOf(HasSubstr("NAMESPACE"), HasSubstr("client"), HasSubstr("enrolled")));
  Says({"local", "ps", "-o", "wide"}, HasSubstr("RESTARTS"));
  Says({"local", "ps", "-o", "json"}, StartsWith("["));
  Says({"local", "ps", "-o", "yaml"}, StartsWith("- ip:"));
  Says({"local", "ps", "-n", "outside"}, AllOf(HasSubstr("twin"), Not(HasSubstr("client"))));
  Says({"local", "ps", "-n", "nowhere"}, HasSubstr("no pods"));
}

TEST_F(Meshctl, ObjectsAreShownInEachForm) {
  Says({"local", "get", "svc"}, AllOf(HasSubstr("CLUSTER-IP"), HasSubstr("80/TCP")));
  Says({"local", "get", "deployments", "-o", "wide"}, HasSubstr("deployment_shop_server.yaml"));
  Says({"local", "get", "po", "client", "-o", "short"}, HasSubstr("Pod shop/client"));
  Says({"local", "get", "pod/client", "-o", "json"}, HasSubstr("\"name\": \"client\""));
  Says({"local", "get", "ns", "shop", "-o", "yaml"}, HasSubstr("istio.io/dataplane-mode: ambient"));
  Says({"local", "get", "nodes"}, HasSubstr("node-2"));
  Says({"local", "get", "ap"}, HasSubstr("no AuthorizationPolicy objects"));
  Refuses({"local", "get", "pod", "nobody"}, kFailed, HasSubstr("no Pod \"nobody\""));
  Refuses({"local", "get", "nonsense"}, kFailed, HasSubstr("no kind \"nonsense\""));
}

TEST_F(Meshctl, ExecRunsInThePodAndPassesTheCodeOn) {
  Says({"local", "exec", "client", "--", "hostname"}, "client\n");
  Says({"local", "exec", "-it", "pod/client", "--", "hostname"}, "client\n");
  Says({"local", "exec", "outside/twin", "--", "hostname"}, "twin\n");
  Says({"local", "exec", "deploy/server", "--", "hostname"}, StartsWith("server-"));
  EXPECT_EQ(Run({"local", "exec", "client", "--", "sh", "-c", "exit 7"}).code, 7);
  EXPECT_EQ(Run({"local", "exec", "client", "--", "cat"}, "through").out, "through");
  Refuses({"local", "exec", "client", "--", "nosuchprogram"}, 127, HasSubstr("nosuchprogram"));
  Refuses({"local", "exec", "client", "--", "/etc"}, 126, HasSubstr("Permission denied"));
  Refuses({"local", "exec", "nobody", "--", "id"}, kFailed, HasSubstr("no pod or workload"));
  Refuses({"local", "exec", "twin", "--", "id"}, kFailed,
          HasSubstr("in the namespaces outside and shop"));
  Refuses({"local", "exec", "client", "-c", "nope", "--", "id"}, kFailed,
          HasSubstr("no container \"nope\"; it has: app"));
}

TEST_F(Meshctl, LogsAreShownCutAndFollowed) {
  Says({"local", "logs", "server"}, HasSubstr("listening port=8080"));
  Says({"local", "logs", "server", "--tail", "0"}, IsEmpty());
  Says({"local", "logs", "ztunnel", "--node", "node-2"}, HasSubstr("info"));
  Says({"local", "logs", "agent-node-1"}, HasSubstr("shop/client"));
  Says({"local", "logs", "controller"}, HasSubstr("pushed"));
  const Outcome last = Run({"local", "logs", "runtime", "--tail", "1"});
  EXPECT_EQ(std::count(last.out.begin(), last.out.end(), '\n'), 1) << last.out;
  Refuses({"local", "logs", "ztunnel", "--node", "node-9"}, kFailed, HasSubstr("no node"));
  Refuses({"local", "logs", "server", "-c", "nope"}, kFailed, HasSubstr("no container \"nope\""));
  Refuses({"local", "logs", "../../etc/passwd"}, kFailed, HasSubstr("no pod or workload"));

  const std::string followed = mesh_->root() + "/followed";
  const Background follower({"sh", "-c",
                             "exec \"$0\" --name \"$1\" local logs -f --tail 0 ztunnel >\"$2\"",
                             mesh_->ExecWords("shop/client", {}).front(), mesh_->name(), followed});
  ASSERT_TRUE(Eventually([&] {
    mesh_->Exec("shop/client", {"curl", "-s", "-m", "5", "http://server/"});
    return ReadFileOr(followed).find("client") != std::string::npos;
  })) << ReadFileOr(followed);
}

TEST_F(Meshctl, ZtunnelConfigShowsWhatItsNodeKnows) {
  Says({"ztunnel-config", "workloads", "--node", "node-1"},
       AllOf(HasSubstr("client"), HasSubstr("HBONE")));
  Says({"zc", "workloads", "-o", "wide", "client.shop"}, HasSubstr("SERVICE ACCOUNT"));
  Says({"zc", "services", "-n", "shop"}, AllOf(HasSubstr("node-2:"), HasSubstr("1/1")));
  Says({"zc", "policies"}, HasSubstr("POLICY NAME"));
  Says({"zc", "certificates", "client"}, HasSubstr("ns/shop/sa/default"));
  Says({"zc", "connections", "--direction", "outbound"}, HasSubstr("REMOTE TARGET"));
  Says({"zc", "all", "--node", "node-1", "-o", "json"}, HasSubstr("\"workloads\""));
  Says({"zc", "log", "--node", "node-1", "--level", "debug"}, HasSubstr("debug"));
  Says({"zc", "log", "--node", "node-1", "-r"}, HasSubstr("info"));
  Refuses({"zc", "log", "--level", "bogus"}, kFailed, HasSubstr("no such level: \"bogus\""));
  Refuses({"zc", "services", "--node", "node-9"}, kFailed, HasSubstr("no node \"node-9\""));
  Refuses({"zc", "services", "--file", "/nowhere"}, kFailed, HasSubstr("/nowhere"));
}

TEST_F(Meshctl, BpfNamesProgramsMapsAndCounters) {
  Says({"bpf"}, AllOf(HasSubstr("mesh_connect4"), HasSubstr("pod address -> pod")));
  Says({"bpf", "programs", "--node", "node-2"},
       AllOf(HasSubstr("mesh_lookup"), Not(HasSubstr("node-1:"))));
  Says({"bpf", "maps", "-o", "yaml"}, HasSubstr("name: mesh_pods"));
  Says({"bpf", "counters"},
       AllOf(HasSubstr("refusals/strict_plaintext"), Not(HasSubstr("refusals/none"))));
  Says({"bpf", "counters", "-o", "json", "--node", "node-1"}, HasSubstr("\"captures\""));
  Refuses({"bpf", "--node", "node-9"}, kFailed, HasSubstr("no node \"node-9\""));
}

TEST_F(Meshctl, ApplyNamesFileLineAndField) {
  const Outcome bad = Run({"local", "apply", "-f", "-"},
                          "apiVersion: v1\nkind: Pod\nmetadata:\n  name: UPPER\nspec: {}\n");
  EXPECT_EQ(bad.code, kFailed);
  EXPECT_THAT(bad.err, HasSubstr("<stdin>:4: "));
  EXPECT_THAT(bad.err, HasSubstr("metadata.name"));
  EXPECT_THAT(Run({"local", "apply", "-f", "-"}, "a: [b\nc: d").err,
              HasSubstr("<stdin>:2: not YA"));
  Refuses({"local", "apply", "-f", "/nowhere"}, kFailed, HasSubstr("/nowhere"));
  Refuses({"local", "apply", "-f", mesh_->root() + "/log"}, kFailed, HasSubstr("no *.yaml"));
  EXPECT_THAT(mesh_->Apply(kManifests).out, HasSubstr("Pod shop/client unchanged"));
}

TEST_F(Meshctl, DeleteTakesANamespaceWithAllInIt) {
  const std::string yaml =
      "apiVersion: v1\nkind: Namespace\nmetadata: {name: gone}\n---\n"
      "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a, namespace: gone}\n---\n"
      "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: b, namespace: gone}\n";
  ASSERT_EQ(mesh_->Apply(yaml).code, 0);
  Refuses({"local", "delete", "sa", "a"}, kFailed, HasSubstr("there is one in namespace gone"));
  Says({"local", "delete", "sa/a", "-n", "gone"}, "ServiceAccount gone/a deleted\n");
  ASSERT_EQ(mesh_->Apply(yaml).code, 0);
  const Outcome deleted = mesh_->Delete(yaml);
  EXPECT_EQ(deleted.code, 0) << deleted.err;
  EXPECT_THAT(deleted.out, HasSubstr("ServiceAccount gone/b deleted"));
  EXPECT_EQ(mesh_->Delete(yaml).code, kFailed);
}

TEST_F(Meshctl, CompletionKnowsTheMesh) {
  for (const char* shell : {"bash", "zsh", "fish"})
    Says({"completion", shell}, HasSubstr("meshctl __complete"));
  const auto complete = [](std::vector<std::string> words) {
    // The mesh's name among the words, as on a command line that is being typed.
    words.insert(words.begin(), {mesh_->ExecWords("shop/client", {}).front(), "__complete",
                                 "--name", mesh_->name()});
    return RunCommand(words).out;
  };
  EXPECT_THAT(complete({}), AllOf(HasSubstr("local\n"), HasSubstr("--output\n")));
  EXPECT_THAT(complete({"local"}), HasSubstr("apply\n"));
  EXPECT_THAT(complete({"local", "exec", "-n", "shop"}), HasSubstr("client\n"));
  EXPECT_THAT(complete({"local", "exec", "-n", "outside"}), Not(HasSubstr("client\n")));
  EXPECT_EQ(complete({"local", "exec", "-n"}), "outside\nshop\n");
  EXPECT_THAT(complete({"local", "get", "svc"}), HasSubstr("server\n"));
  EXPECT_THAT(complete({"zc"}), HasSubstr("certificates\n"));
  EXPECT_EQ(complete({"bpf", "--node"}), "node-1\nnode-2\n");
  EXPECT_EQ(complete({"local", "exec", "client", "--"}), "");
}

}  // namespace
}  // namespace mesh::test
