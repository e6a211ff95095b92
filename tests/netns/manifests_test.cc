// Manifests as people have them: written for a cluster, with images, volumes and settings that this
// machine has not. They come up as they stand, and what is left out is said.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <set>

#include "tests/support/mesh_test.h"
#include "ztunnel/base/files.h"

namespace mesh::test {
namespace {

using testing::HasSubstr;

constexpr const char* kNamespace = R"(
apiVersion: v1
kind: Namespace
metadata:
  name: default
  labels: {istio.io/dataplane-mode: ambient}
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  containers:
  - {name: curl, image: curlimages/curl}
)";

// The shape in which Bookinfo is published: no command, no target port, volumes that are mounted.
std::string App(std::string_view app, std::string_view version) {
  return fmt::format(R"(
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {0}-{1}
  labels: {{app: {0}, version: {1}}}
spec:
  replicas: 1
  selector:
    matchLabels: {{app: {0}, version: {1}}}
  template:
    metadata:
      annotations: {{prometheus.io/scrape: "true"}}
      labels: {{app: {0}, version: {1}}}
    spec:
      serviceAccountName: bookinfo-{0}
      containers:
      - name: {0}
        image: docker.io/istio/examples-bookinfo-{0}-{1}:1.20.1
        imagePullPolicy: IfNotPresent
        env:
        - {{name: LOG_DIR, value: "/tmp/logs"}}
        ports:
        - containerPort: 9080
        volumeMounts:
        - {{name: tmp, mountPath: /tmp}}
      volumes:
      - {{name: tmp, emptyDir: {{}}}}
)",
                     app, version);
}

std::string Service(std::string_view app) {
  return fmt::format(R"(
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: bookinfo-{0}}}
---
apiVersion: v1
kind: Service
metadata:
  name: {0}
  labels: {{app: {0}, service: {0}}}
spec:
  ports:
  - {{port: 9080, name: http}}
  selector: {{app: {0}}}
)",
                     app);
}

class Manifests : public MeshTest {
 protected:
  static void SetUpTestSuite() {
    if (Up("manifests")) ASSERT_EQ(mesh_->Apply(kNamespace).code, 0);
  }
};

TEST_F(Manifests, PublishedBookinfoComesUpAsItStands) {
  std::string yaml;
  for (const char* app : {"details", "ratings", "reviews", "productpage"})
    yaml += Service(app) + App(app, "v1");
  yaml += App("reviews", "v2") + App("reviews", "v3");
  const Outcome applied = mesh_->Apply(yaml);
  ASSERT_EQ(applied.code, 0) << applied.err;
  EXPECT_THAT(applied.err, HasSubstr("Deployment default/reviews-v3: spec.template.spec.volumes: "
                                     "tmp: not mounted in local mode"));
  std::set<std::string> seen;
  EXPECT_TRUE(Eventually(
      [&] {
        const Outcome page = mesh_->Exec(
            "default/client",
            {"curl", "-sSf", "-m", "5", "http://productpage:9080/api/v1/products/0/reviews"});
        for (const char* version : {"reviews-v1-", "reviews-v2-", "reviews-v3-"}) {
          if (page.code == 0 && page.out.find(version) != std::string::npos) seen.insert(version);
        }
        return seen.size() == 3;
      },
      std::chrono::seconds(40)))
      << testing::PrintToString(seen) << mesh_->Meshctl({"status"}).out;
}

TEST_F(Manifests, APodWaitsForItsConfigMapAndReadsIt) {
  ASSERT_EQ(mesh_
                ->Apply(R"(
apiVersion: v1
kind: Pod
metadata: {name: reader}
spec:
  containers:
  - name: curl
    image: curlimages/curl
    env:
    - {name: COLOR, valueFrom: {configMapKeyRef: {name: paint, key: color}}}
)")
                .code,
            0);
  EXPECT_TRUE(Eventually([] {
    return mesh_->Meshctl({"local", "get", "pod", "reader", "-o", "json"})
               .out.find("ConfigMap default/paint is not there") != std::string::npos;
  }));
  ASSERT_EQ(mesh_
                ->Apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: paint}\n"
                        "data: {color: blue}\n")
                .code,
            0);
  ASSERT_TRUE(mesh_->WaitReady({"default/reader"}));
  EXPECT_EQ(mesh_->Exec("default/reader", {"sh", "-c", "echo $COLOR"}).out, "blue\n");
}

TEST_F(Manifests, WhatWouldStartOtherwiseThanAskedIsRefusedByName) {
  const Outcome daemon = mesh_->Apply(
      "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: everywhere}\nspec: {}\n");
  EXPECT_NE(daemon.code, 0);
  EXPECT_THAT(daemon.err, HasSubstr("DaemonSet everywhere: kind: local mode runs"));
  const Outcome secret = mesh_->Apply(R"(
apiVersion: v1
kind: Pod
metadata: {name: secretive}
spec:
  containers:
  - name: curl
    image: curlimages/curl
    env:
    - {name: KEY, valueFrom: {secretKeyRef: {name: s, key: k}}}
)");
  EXPECT_NE(secret.code, 0);
  EXPECT_THAT(secret.err, HasSubstr("spec.containers[0].env[0].valueFrom.secretKeyRef: not "
                                    "supported in local mode"));
  EXPECT_NE(mesh_->Meshctl({"local", "get", "pod", "secretive"}).code, 0);
}

TEST_F(Manifests, AnObjectThatIsRefusedSaysSoInItsStatusAndOnTheStatusPage) {
  const auto policy = [](const char* port) {
    return std::string(
               "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
               "metadata: {name: told, namespace: default}\n"
               "spec: {action: DENY, rules: [{to: [{operation: {ports: ['") +
           port + "']}}]}]}\n";
  };
  const std::string file = mesh_->root() + "/manifests/told.yaml";
  ASSERT_TRUE(WriteFile(file, policy("81"), 0644).ok());
  const auto get = [] {
    return mesh_->Meshctl({"local", "get", "authorizationpolicy", "told", "-o", "yaml"}).out;
  };
  EXPECT_TRUE(Eventually([&] { return get().find("ZtunnelAccepted") != std::string::npos; }));
  // Not through `apply`, which refuses it at once.
  ASSERT_TRUE(WriteFile(file, policy("many"), 0644).ok());
  EXPECT_TRUE(Eventually([&] { return get().find("type: Valid") != std::string::npos; })) << get();
  EXPECT_THAT(get(), HasSubstr("told.yaml:4: spec.rules[0].to[0].operation.ports[0]"));
  EXPECT_THAT(get(), HasSubstr("The last good version stays in force"));
  const std::string status = mesh_->Meshctl({"status"}).out;
  EXPECT_THAT(status, HasSubstr("AuthorizationPolicy default/told"));
  EXPECT_THAT(status, HasSubstr("last good version"));
  // A kind whose status is another's to write.
  ASSERT_TRUE(WriteFile(mesh_->root() + "/manifests/entry.yaml",
                        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n"
                        "metadata: {name: entry, namespace: default}\nspec: {}\n",
                        0644)
                  .ok());
  EXPECT_TRUE(Eventually([] {
    const std::string entry =
        mesh_->Meshctl({"local", "get", "workloadentry", "entry", "-o", "json"}).out;
    return entry.find("It has no effect") != std::string::npos;
  }));
  for (const char* name : {"told.yaml", "entry.yaml"}) {
    EXPECT_EQ(::unlink((mesh_->root() + "/manifests/" + name).c_str()), 0);
  }
}

// Pods cache their gateway's hardware address; one that changed would cut them off from other
// nodes.
TEST_F(Manifests, TheGatewayStaysTheSameAsPodsComeAndGo) {
  const auto gateway = [] {
    const std::string link = RunCommand({"nsenter", "--net=" + mesh_->NodeNetnsPath("node-2"), "ip",
                                         "link", "show", "br0"})
                                 .out;
    const size_t at = link.find("link/ether ");
    return at == std::string::npos ? "" : link.substr(at, 28);
  };
  const std::string before = gateway();
  ASSERT_NE(before, "");
  const std::string pod =
      "apiVersion: v1\nkind: Pod\nmetadata: {name: NAME}\nspec:\n  nodeName: node-2\n"
      "  containers:\n  - {name: curl, image: curlimages/curl}\n";
  std::string pods;
  for (const char* name : {"one", "two", "three", "four", "five", "six"})
    pods += "---\n" + std::string(pod).replace(pod.find("NAME"), 4, name);
  ASSERT_EQ(mesh_->Apply(pods).code, 0);
  ASSERT_TRUE(mesh_->WaitReady({"default/one", "default/six"}));
  EXPECT_EQ(gateway(), before);
  ASSERT_EQ(mesh_->Delete(pods).code, 0);
  EXPECT_EQ(gateway(), before);
}

}  // namespace
}  // namespace mesh::test
