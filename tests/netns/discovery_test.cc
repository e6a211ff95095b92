// How changes of the configuration arrive while traffic runs: a controller that goes away, files
// that are wrong, objects in any order.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "tests/support/mesh_test.h"
#include "tests/support/objects.h"
#include "ztunnel/base/files.h"

namespace mesh::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string Service(const std::string& name, const std::string& app) {
  return "---\napiVersion: v1\nkind: Service\nmetadata: {name: " + name +
         ", namespace: shop}\nspec:\n  selector: {app: " + app +
         "}\n  ports:\n  - {name: http, port: 80, targetPort: 8080}\n";
}
// `source` stands on line 10 of it.
std::string Deny(const std::string& name, const std::string& source) {
  return R"(apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: )" +
         name + R"(
  namespace: shop
spec:
  action: DENY
  rules:
  - from:
    - source: {)" +
         source + "}\n";
}
const std::string kDenied = "namespaces: [shop]";

class Discovery : public MeshTest {
 protected:
  static void SetUpTestSuite() {
    if (!Up("discovery",
            kShopAndOutside + IdlePod("shop", "client", "node-1") +
                ServingPod("shop", "near", "node-1") + ServingPod("shop", "far", "node-2") +
                Service("near", "near") + Service("far", "far"),
            {"shop/client", "shop/near", "shop/far"}))
      return;
    ASSERT_TRUE(Eventually([] { return Get("near") == 0 && Get("far") == 0; }));
  }
  void TearDown() override {
    for (const std::string& path : files_) ::unlink(path.c_str());
    EXPECT_TRUE(Eventually([] { return Get("near") == 0 && Get("far") == 0; }));
  }

  static int Get(const std::string& host) {
    return mesh_
        ->Exec("shop/client", {"curl", "-sS", "-m", "8", "-o", "/dev/null", "http://" + host + "/"})
        .code;
  }

  // A loop of requests to near and far in turn: one word each, "ok" or "BAD-" and curl's code.
  static Background Load() {
    return Background(mesh_->ExecWords(
        "shop/client", {"bash", "-c",
                        "while :; do for host in near far; do curl -sS -m 8 -o /dev/null "
                        "http://$host/ && echo ok || echo BAD-$?-$host; done; done"}));
  }
  static size_t Count(const std::string& text, std::string_view word) {
    size_t n = 0;
    for (size_t at = 0; (at = text.find(word, at)) != std::string::npos; at += word.size()) ++n;
    return n;
  }

  // As a person's editor would: into the folder, past meshctl.
  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = mesh_->root() + "/manifests/" + name;
    EXPECT_TRUE(WriteFile(path, text).ok());
    files_.push_back(path);
    return path;
  }
  static std::string Status() { return mesh_->Meshctl({"status"}).out; }

  std::vector<std::string> files_;
};

TEST_F(Discovery, ControllerKilledUnderLoadLosesNoRequest) {
  Background load = Load();
  for (int i = 0; i < 2; ++i) {
    const int old = mesh_->PidOf("controller");
    ASSERT_GT(old, 0);
    ASSERT_EQ(::kill(old, SIGKILL), 0);
    // While it is away a policy is written: it holds once the controller is back.
    ASSERT_EQ(mesh_->Apply(Deny("late", "namespaces: [nobody]")).code, 0);
    ASSERT_TRUE(Eventually([&] {
      const int pid = mesh_->PidOf("controller");
      return pid > 0 && pid != old && ::kill(pid, 0) == 0;
    }));
    for (const char* node : {"node-1", "node-2"}) {
      EXPECT_TRUE(Eventually([&] {
        return mesh_->Meshctl({"ztunnel-config", "policies", "--node", node}).out.find("late") !=
               std::string::npos;
      })) << node
          << mesh_->Meshctl({"ztunnel-config", "policies", "--node", node}).err;
    }
    EXPECT_EQ(mesh_->Meshctl({"local", "delete", "AuthorizationPolicy", "late", "-n", "shop"}).code,
              0);
  }
  const std::string out = load.Stop().out;
  EXPECT_EQ(Count(out, "BAD"), 0u) << out;
  EXPECT_GE(Count(out, "ok"), 10u) << out;
}

// Written over and over, a rule is never gone for a moment.
TEST_F(Discovery, APolicyThatIsWrittenAgainStaysInForce) {
  Write("deny.yaml", Deny("deny", kDenied));
  ASSERT_TRUE(Eventually([] { return Refused(Get("near")) && Refused(Get("far")); }));
  Background load = Load();
  for (int i = 0; i < 40; ++i) {
    Write("deny.yaml",
          Deny("deny", kDenied + ", notIpBlocks: [192.0.2." + std::to_string(i) + "]"));
    ASSERT_EQ(mesh_->Apply(Deny("other", "namespaces: [n" + std::to_string(i) + "]")).code, 0);
  }
  EXPECT_EQ(mesh_->Meshctl({"local", "delete", "AuthorizationPolicy", "other", "-n", "shop"}).code,
            0);
  const std::string out = load.Stop().out;
  EXPECT_EQ(Count(out, "ok"), 0u) << out;
  EXPECT_EQ(Count(out, "BAD-28"), 0u) << out;
  EXPECT_GE(Count(out, "BAD-"), 10u) << out;
}

TEST_F(Discovery, ABadFileIsNamedTheRestAppliesAndTheLastGoodVersionStays) {
  Write("deny.yaml", Deny("deny", kDenied));
  ASSERT_TRUE(Eventually([] { return Refused(Get("near")) && Refused(Get("far")); }));

  // Two objects in one file: one that is wrong, one that is not.
  const std::string path =
      Write("deny.yaml", Deny("deny", "ipBlocks: [10.0.0.0/99]") + Service("beside", "far"));
  EXPECT_TRUE(Eventually([&] { return Status().find(path + ":10") != std::string::npos; }))
      << Status();
  EXPECT_THAT(Status(), AllOf(HasSubstr("ipBlocks"), HasSubstr("10.0.0.0/99")));
  EXPECT_TRUE(Eventually([] {  // the name is known: the answer is no, not "what host?" (6)
    return Refused(Get("beside"));
  })) << Get("beside");
  EXPECT_TRUE(Refused(Get("near"))) << "the last good version is gone";
  EXPECT_TRUE(Refused(Get("far"))) << "the last good version is gone";

  // Not even YAML.
  Write("deny.yaml", "apiVersion: [\n  kind: }{\n");
  EXPECT_TRUE(Eventually([&] { return Status().find(path + ":2 ") != std::string::npos; }))
      << Status();
  EXPECT_THAT(Status(), HasSubstr("not YAML"));
  EXPECT_TRUE(Refused(Get("near")));
  EXPECT_TRUE(Refused(Get("beside")));

  // Mended: what it says now holds, and nobody complains.
  Write("deny.yaml", Deny("deny", "namespaces: [nobody]") + Service("beside", "far"));
  EXPECT_TRUE(Eventually([] { return Get("near") == 0 && Get("beside") == 0; }));
  EXPECT_THAT(Status(), Not(HasSubstr(path)));
}

TEST_F(Discovery, ARemovedServiceGoesAway) {
  ASSERT_EQ(mesh_->Apply(Service("brief", "far")).code, 0);
  ASSERT_TRUE(Eventually([] { return Get("brief") == 0; }));
  const Outcome resolved = mesh_->Exec("shop/client", {"getent", "ahostsv4", "brief"});
  const std::string vip = resolved.out.substr(0, resolved.out.find_first_of(" \n"));
  ASSERT_NE(vip, "") << resolved.err;
  EXPECT_EQ(Get(vip), 0);
  ASSERT_EQ(mesh_->Delete(Service("brief", "far")).code, 0);
  EXPECT_TRUE(Eventually([] { return Get("brief") == 6; })) << Get("brief");
  // Nobody answers at its address any more, and it says so at once.
  EXPECT_TRUE(Refused(Get(vip))) << Get(vip);
}

TEST_F(Discovery, ServicesAndEndpointsComeInAnyOrder) {
  // Service first: refused for the want of an endpoint.
  ASSERT_EQ(mesh_->Apply(Service("first", "first")).code, 0);
  EXPECT_TRUE(Eventually([] { return Refused(Get("first")); })) << Get("first");
  EXPECT_TRUE(Eventually([] {
    return !Lines(mesh_->ZtunnelLog("node-1"),
                  {"first.shop.svc.cluster.local", "reason=no_healthy_endpoint"})
                .empty();
  }));
  ASSERT_EQ(mesh_->Apply(ServingPod("shop", "first", "node-2")).code, 0);
  EXPECT_TRUE(Eventually([] { return Get("first") == 0; })) << Get("first");
  // Endpoint first.
  ASSERT_EQ(mesh_->Apply(ServingPod("shop", "second", "node-2")).code, 0);
  ASSERT_TRUE(mesh_->WaitReady({"shop/second"}));
  EXPECT_EQ(Get("second"), 6);
  ASSERT_EQ(mesh_->Apply(Service("second", "second")).code, 0);
  EXPECT_TRUE(Eventually([] { return Get("second") == 0; })) << Get("second");
  // The last endpoint goes, the service stays.
  ASSERT_EQ(mesh_->Delete(ServingPod("shop", "second", "node-2")).code, 0);
  EXPECT_TRUE(Eventually([] { return Refused(Get("second")); })) << Get("second");
  EXPECT_EQ(mesh_
                ->Delete(Service("first", "first") + Service("second", "second") +
                         ServingPod("shop", "first", "node-2"))
                .code,
            0);
}

}  // namespace
}  // namespace mesh::test
