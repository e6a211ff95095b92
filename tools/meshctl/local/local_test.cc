#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>

#include "tools/meshctl/local/addresses.h"
#include "tools/meshctl/local/files.h"
#include "tools/meshctl/local/images.h"
#include "tools/meshctl/local/log_limit.h"
#include "tools/meshctl/local/pod_env.h"
#include "tools/meshctl/local/process.h"
#include "tools/meshctl/local/store.h"
#include "tools/meshctl/local/tokens.h"
#include "tools/meshctl/local/workload_check.h"
#include "tools/meshctl/local/workloads.h"
#include "tools/meshctl/yaml.h"
#include "ztunnel/base/files.h"

namespace mesh::local {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Local : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/meshctl-test-XXXXXX";
    dir_ = ::mkdtemp(path);
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(dir_).ok()); }
  void Write(const std::string& name, std::string_view text) {
    const std::string path = dir_ + "/" + name;
    ASSERT_TRUE(MakeDirs(path.substr(0, path.rfind('/'))).ok());
    ASSERT_TRUE(WriteFile(path, text).ok());
  }
  std::string dir_;
};

Json Yaml(std::string_view text) {
  auto documents = meshctl::ParseYaml(text);
  return documents.ok() && !documents->empty() ? documents->front().value : Json();
}

TEST_F(Local, LaterFoldersOverlayEarlierOnes) {
  Write("a/pod.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {x: '1'}}\nspec: {nodeName: n}\n");
  Write(
      "b/pod.json",
      R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"default"},"status":{"phase":"Running"}})");
  Write(
      "b/patch/p.patch.json",
      R"({"kind":"Pod","metadata":{"name":"p","namespace":"default","labels":{"x":null,"y":"2"}}})");
  Write("b/patch/other.patch.json",
        R"({"kind":"Pod","metadata":{"name":"nobody","namespace":"default"}})");
  ObjectStore store({dir_ + "/a", dir_ + "/b", dir_ + "/b/patch"});
  EXPECT_TRUE(store.Reload());
  EXPECT_FALSE(store.Reload());
  ASSERT_EQ(store.OfKind("Pod").size(), 1u);
  const Json& pod = *store.Find({"Pod", "default", "p"});
  EXPECT_EQ(pod.Get({"status", "phase"}).Str(), "Running");
  EXPECT_EQ(pod.Get({"spec", "nodeName"}).Str(), "n");
  EXPECT_EQ(pod.Get({"metadata", "labels"}).Dump(), R"({"y":"2"})");
}

TEST_F(Local, AFileThatDoesNotParseKeepsWhatItLastGave) {
  Write("m/a.yaml", "kind: Service\nmetadata: {name: s}\n");
  ObjectStore store({dir_ + "/m"});
  store.Reload();
  Write("m/a.yaml", "kind: [\n");
  EXPECT_TRUE(store.Reload());
  EXPECT_NE(store.Find({"Service", "default", "s"}), nullptr);
  ASSERT_EQ(store.problems().size(), 1u);
  EXPECT_THAT(store.problems()[0].file, HasSubstr("m/a.yaml"));
}

TEST_F(Local, KindsHaveTheNamesPeopleType) {
  for (const char* word : {"Pod", "pod", "pods", "po"}) EXPECT_EQ(CanonicalKind(word), "Pod");
  for (const char* word : {"authorizationpolicies", "authz", "ap"})
    EXPECT_EQ(CanonicalKind(word), "AuthorizationPolicy");
  EXPECT_EQ(CanonicalKind("Strange"), "Strange");
}

TEST_F(Local, ServiceAddressesAreStableAndComeBack) {
  Layout layout{"unit-" + dir_.substr(dir_.rfind('-') + 1)};
  ASSERT_TRUE(MakeDirs(layout.patch()).ok());
  Write("m/s.yaml",
        "kind: Service\nmetadata: {name: dual}\nspec: {ipFamilyPolicy: PreferDualStack}\n---\n"
        "kind: Service\nmetadata: {name: headless}\nspec: {clusterIP: None}\n---\n"
        "kind: Service\nmetadata: {name: outside}\nspec: {type: ExternalName}\n---\n"
        "kind: Service\nmetadata: {name: single}\n");
  ObjectStore user({dir_ + "/m"}), all({dir_ + "/m", layout.patch()});
  user.Reload();
  ServiceAddresses addresses(layout, true);
  ASSERT_TRUE(addresses.Reconcile(user).ok());
  all.Reload();
  const std::string dual =
      all.Find({"Service", "default", "dual"})->Get({"spec", "clusterIPs"}).Dump();
  EXPECT_THAT(dual, HasSubstr("10.96."));
  EXPECT_THAT(dual, HasSubstr("fd00:10:96::"));
  EXPECT_EQ(all.Find({"Service", "default", "single"})->Get({"spec", "clusterIPs"}).Items().size(),
            1u);
  EXPECT_FALSE(all.Find({"Service", "default", "outside"})->At("spec").Has("clusterIP"));
  EXPECT_EQ(all.Find({"Service", "default", "headless"})->Get({"spec", "clusterIP"}).Str(), "None");

  ServiceAddresses again(layout, true);  // another runtime, the same files
  ASSERT_TRUE(again.Reconcile(user).ok());
  all.Reload();
  EXPECT_EQ(all.Find({"Service", "default", "dual"})->Get({"spec", "clusterIPs"}).Dump(), dual);
  Write("m/s.yaml", "kind: Service\nmetadata: {name: single}\n");
  user.Reload();
  ASSERT_TRUE(again.Reconcile(user).ok());
  EXPECT_EQ(ListManifests(layout.patch()).size(), 1u);
  EXPECT_TRUE(RemoveTree(layout.root()).ok());
}

TEST_F(Local, FamiliesFollowTheServicesPolicy) {
  EXPECT_THAT(FamiliesOf(Yaml("spec: {}"), true), ElementsAre(4));
  EXPECT_THAT(FamiliesOf(Yaml("spec: {ipFamilies: [IPv6]}"), true), ElementsAre(6));
  EXPECT_THAT(
      FamiliesOf(Yaml("spec: {ipFamilies: [IPv6], ipFamilyPolicy: RequireDualStack}"), true),
      ElementsAre(6, 4));
  EXPECT_THAT(FamiliesOf(Yaml("spec: {ipFamilyPolicy: PreferDualStack}"), false), ElementsAre(4));
}

TEST_F(Local, ADeploymentsPodsAreOwnedAndLabelledAsInKubernetes) {
  Write("m/d.yaml", R"(
kind: Deployment
metadata: {name: reviews-v1, namespace: shop}
spec:
  replicas: 2
  template:
    metadata: {labels: {app: reviews}}
    spec: {containers: [{name: app, image: x}]}
---
kind: StatefulSet
metadata: {name: web, namespace: shop}
spec:
  serviceName: nginx
  replicas: 2
  template: {spec: {containers: [{name: app, image: x}]}}
)");
  ObjectStore user({dir_ + "/m"});
  user.Reload();
  const auto plan = PlanPods(user);
  ASSERT_EQ(plan.size(), 2u);
  const PodSet& deployment = plan[0].owner.kind == "Deployment" ? plan[0] : plan[1];
  const PodSet& stateful = plan[0].owner.kind == "Deployment" ? plan[1] : plan[0];
  EXPECT_EQ(deployment.replicas, 2);
  EXPECT_EQ(deployment.prefix, "reviews-v1-" + deployment.revision);
  EXPECT_EQ(deployment.pod.Get({"metadata", "labels", "pod-template-hash"}).Str(),
            deployment.revision);
  const Json& owner = deployment.pod.Get({"metadata", "ownerReferences"}).Items()[0];
  EXPECT_EQ(owner.At("kind").Str(), "ReplicaSet");
  EXPECT_EQ(owner.At("name").Str(), deployment.prefix);
  EXPECT_THAT(stateful.names, ElementsAre("web-0", "web-1"));
  EXPECT_EQ(stateful.pod.Get({"spec", "subdomain"}).Str(), "nginx");
}

TEST_F(Local, ImagesStandForPrograms) {
  ImageTable table;
  const auto command = [&](std::string_view yaml) {
    return table.CommandOf(Yaml(yaml)).value_or(std::vector<std::string>());
  };
  EXPECT_THAT(command("image: docker.io/istio/examples-bookinfo-reviews-v3:1.20.3"),
              ElementsAre("meshapp", "bookinfo", "reviews", "v3"));
  EXPECT_THAT(command("image: curlimages/curl"), ElementsAre("meshapp", "sleep"));
  EXPECT_THAT(command("{image: curlimages/curl, command: [/bin/sleep, infinity]}"),
              ElementsAre("/bin/sleep", "infinity"));
  EXPECT_THAT(command("{image: culvert/meshapp, args: [serve, --port, '80']}"),
              ElementsAre("meshapp", "serve", "--port", "80"));
  EXPECT_THAT(std::string(table.CommandOf(Yaml("{name: a, image: nosuch:1}")).status().message()),
              HasSubstr("nosuch:1"));
  ASSERT_TRUE(table.Load("images: [{image: 'nosuch', command: [echo, hi]}]").ok());
  EXPECT_THAT(command("image: nosuch:1"), ElementsAre("echo", "hi"));
  EXPECT_FALSE(table.Load("images: [{image: x}]").ok());
  EXPECT_THAT(command("image: nosuch:1"), ElementsAre("echo", "hi"));
}

TEST_F(Local, ImageNamesLoseTagAndDigestNotAPort) {
  EXPECT_EQ(ImageName("r:5000/a/b:v1@sha256:00"), "r:5000/a/b");
  EXPECT_EQ(ImageName("r:5000/a/b"), "r:5000/a/b");
}

TEST_F(Local, ContainersSeeTheirPodsFields) {
  const Json pod = Yaml(
      "metadata: {name: p, labels: {version: v2}}\nstatus: {podIPs: [{ip: 1.2.3.4}, {ip: "
      "'::1'}]}\n");
  Write("m/c.yaml", "kind: ConfigMap\nmetadata: {name: c}\ndata: {COLOR: red, size: '7'}\n");
  ObjectStore objects({dir_ + "/m"});
  objects.Reload();
  const auto env = PodEnv(Yaml(R"y(
envFrom: [{prefix: C_, configMapRef: {name: c}}, {configMapRef: {name: none, optional: true}}]
env:
- {name: V, valueFrom: {fieldRef: {fieldPath: "metadata.labels['version']"}}}
- {name: IPS, valueFrom: {fieldRef: {fieldPath: status.podIPs}}}
- {name: BOTH, value: "$(V)-$(NONE)-$$(V)"}
- {name: POD_NAME, value: mine}
- {name: SIZE, valueFrom: {configMapKeyRef: {name: c, key: size}}}
- {name: ABSENT, valueFrom: {configMapKeyRef: {name: c, key: none, optional: true}}}
)y"),
                          pod, objects, "/bin-dir", "/pod-dir");
  ASSERT_TRUE(env.ok()) << env.status();
  EXPECT_THAT(*env, testing::Contains("V=v2"));
  EXPECT_THAT(*env, testing::Contains("IPS=1.2.3.4,::1"));
  EXPECT_THAT(*env, testing::Contains("BOTH=v2-$(NONE)-$(V)"));
  EXPECT_THAT(*env, testing::Contains("POD_NAME=mine"));
  EXPECT_THAT(*env, testing::Contains("MESH_POD_DIR=/pod-dir"));
  EXPECT_THAT(*env, testing::Contains("C_COLOR=red"));
  EXPECT_THAT(*env, testing::Contains("SIZE=7"));
  EXPECT_THAT(*env, testing::Not(testing::Contains(testing::StartsWith("ABSENT="))));
  EXPECT_THAT(*env, testing::Contains(testing::StartsWith("PATH=/bin-dir:")));

  const auto refused = [&](std::string_view container) {
    return std::string(PodEnv(Yaml(container), pod, objects, "/b", "/pod").status().message());
  };
  EXPECT_THAT(refused("envFrom: [{configMapRef: {name: none}}]"),
              HasSubstr("ConfigMap default/none"));
  EXPECT_THAT(refused("env: [{name: A, valueFrom: {configMapKeyRef: {name: c, key: none}}}]"),
              HasSubstr("no key \"none\""));
}

TEST_F(Local, AReplicaSetKeepsItsPodsWhenItsTemplateChanges) {
  const auto plan = [&](const std::string& image) {
    Write("m/r.yaml",
          "kind: ReplicaSet\nmetadata: {name: web}\nspec:\n  replicas: 3\n"
          "  template: {spec: {containers: [{name: a, image: " +
              image + "}]}}\n");
    ObjectStore user({dir_ + "/m"});
    user.Reload();
    return PlanPods(user);
  };
  const auto before = plan("x"), after = plan("other");
  ASSERT_EQ(before.size(), 1u);
  ASSERT_EQ(after.size(), 1u);
  EXPECT_EQ(before[0].replicas, 3);
  EXPECT_EQ(before[0].prefix, "web");
  EXPECT_EQ(before[0].revision, after[0].revision);
}

TEST_F(Local, WhatAWorkloadDoesNotGetIsSaid) {
  std::vector<std::string> refused, ignored;
  for (const Remark& remark : CheckWorkload(Yaml(R"(
kind: Deployment
spec:
  template:
    spec:
      nodeSelector: {kubernetes.io/hostname: node-1, disk: ssd}
      securityContext: {runAsUser: 1000}
      volumes: [{name: tmp, emptyDir: {}}, {name: more, emptyDir: {}}]
      containers:
      - name: plain
        image: x
        imagePullPolicy: Always
      - name: app
        resources: {}
        readinessProbe: {grpc: {port: 1}}
        envFrom: [{secretRef: {name: s}}]
        env:
        - {name: A, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
        - {name: B, valueFrom: {fieldRef: {fieldPath: status.moon}}}
        - {name: C, valueFrom: {secretKeyRef: {name: s, key: k}}}
)")))
    (remark.refused ? refused : ignored).push_back(remark.field);
  const std::string spec = "spec.template.spec.", app = spec + "containers[1].";
  EXPECT_THAT(refused, testing::UnorderedElementsAre(app + "env[1].valueFrom.fieldRef.fieldPath",
                                                     app + "env[2].valueFrom.secretKeyRef",
                                                     app + "envFrom[0].secretRef"));
  EXPECT_THAT(ignored, testing::UnorderedElementsAre(
                           spec + "nodeSelector", spec + "securityContext", spec + "volumes",
                           app + "resources", app + "readinessProbe.grpc"));
  EXPECT_THAT(CheckWorkload(Yaml("kind: Service\nspec: {securityContext: {}}")), IsEmpty());
}

TEST_F(Local, NodeTokensVerifyWithThePublicKey) {
  auto signer = TokenSigner::Open(dir_);
  ASSERT_TRUE(signer.ok()) << signer.status();
  const auto token = signer->Sign({"node-1", "u1", "ztunnel-node-1", "u2"},
                                  absl::FromUnixSeconds(1000), absl::Hours(1));
  ASSERT_TRUE(token.ok());
  EXPECT_EQ(std::count(token->begin(), token->end(), '.'), 2);
  ASSERT_TRUE(TokenSigner::Open(dir_).ok());  // reads what is there
  EXPECT_THAT(ReadFileOr(dir_ + "/sa.pub"), HasSubstr("BEGIN PUBLIC KEY"));
  EXPECT_EQ(Base64Url("\xff\xfe\xfd\xfc"), "__79_A");
}

TEST_F(Local, CommandsAreRunAndTheirEndIsTold) {
  const auto result = RunCommand({"sh", "-c", "cat; exit 3"}, "hello");
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->code, 3);
  EXPECT_EQ(result->output, "hello");
  EXPECT_TRUE(
      absl::IsDeadlineExceeded(RunCommand({"sleep", "5"}, "", absl::Milliseconds(50)).status()));
  EXPECT_TRUE(
      absl::IsNotFound(Launch({.argv = {"no-such-program"}, .env = {"PATH=/bin"}}).status()));
}

TEST_F(Local, LogsKeepTheirEnd) {
  Write("log", "one\ntwo\nthree\n");
  KeepTail(dir_ + "/log", 9);
  EXPECT_EQ(ReadFileOr(dir_ + "/log"), "three\n");
}

}  // namespace
}  // namespace mesh::local
