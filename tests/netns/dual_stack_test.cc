// Both families through the same ways: services of one family and of both, out of the mesh, into
// it, and policy that names addresses.
#include <gtest/gtest.h>

#include <cstdlib>
#include <tuple>

#include "tests/support/mesh_test.h"
#include "tests/support/objects.h"

namespace mesh::test {
namespace {

std::string Service(const std::string& app, const std::string& suffix,
                    const std::string& families) {
  return "---\napiVersion: v1\nkind: Service\nmetadata: {name: " + app + suffix +
         ", namespace: shop}\nspec:\n  " + families + "\n  selector: {app: " + app +
         "}\n  ports:\n  - {name: http, port: 80, targetPort: 8080}\n";
}
// One of each kind for a server.
std::string Services(const std::string& app) {
  return Service(app, "-4", "ipFamilies: [IPv4]") + Service(app, "-6", "ipFamilies: [IPv6]") +
         Service(app, "-46", "ipFamilyPolicy: RequireDualStack\n  ipFamilies: [IPv4, IPv6]") +
         Service(app, "-64", "ipFamilyPolicy: RequireDualStack\n  ipFamilies: [IPv6, IPv4]");
}

// The family asked in, and the server: near (same node) or far.
class DualStack : public MeshTest,
                  public testing::WithParamInterface<std::tuple<int, std::string>> {
 protected:
  static void SetUpTestSuite() {
    if (!Up("dual",
            kShopAndOutside + IdlePod("shop", "client", "node-1") +
                IdlePod("outside", "stranger", "node-1") + ServingPod("shop", "near", "node-1") +
                ServingPod("shop", "far", "node-2") +
                ServingPod("outside", "near-plain", "node-1") +
                ServingPod("outside", "far-plain", "node-2") + Services("near") + Services("far"),
            {"shop/client", "outside/stranger", "shop/near", "shop/far", "outside/near-plain",
             "outside/far-plain"}))
      return;
    ASSERT_TRUE(Eventually(
        [] { return Get("client", 4, "near-46") == 0 && Get("client", 6, "far-64") == 0; }));
  }
  void TearDown() override {
    if (!applied_.empty()) EXPECT_EQ(mesh_->Delete(applied_).code, 0);
    EXPECT_TRUE(Eventually([] {
      return Get("stranger", 6, Address("shop/near", 6)) == 0 &&
             Get("stranger", 4, Address("shop/far", 4)) == 0 && Get("client", 6, "near-6") == 0 &&
             Get("client", 4, "far-4") == 0;
    }));
  }

  static int family() { return std::get<0>(GetParam()); }
  static int other() { return family() == 4 ? 6 : 4; }
  static const std::string& server() { return std::get<1>(GetParam()); }

  static int Get(const std::string& from, int family, const std::string& host) {
    return mesh_
        ->Exec((from == "client" ? "shop/" : "outside/") + from,
               {"curl", "-sS", "-m", "8", "-o", "/dev/null", "-" + std::to_string(family),
                "http://" + host + "/"})
        .code;
  }
  static std::string Address(const std::string& pod, int family) {
    const std::string ip = mesh_->PodIp(pod, family);
    return (family == 6 ? "[" + ip + "]" : ip) + ":8080";
  }

  void Deny(const std::string& ip) {
    applied_ =
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
        "metadata: {name: rule, namespace: shop}\nspec:\n  action: DENY\n  rules:\n"
        "  - from:\n    - source: {ipBlocks: [\"" +
        ip + "\"]}\n";
    const Outcome applied = mesh_->Apply(applied_);
    ASSERT_EQ(applied.code, 0) << applied.out << applied.err;
  }

  std::string applied_;
};

TEST_P(DualStack, ServicesAnswerInTheirFamiliesAndInNoOther) {
  EXPECT_EQ(Get("client", family(), server() + "-" + std::to_string(family())), 0);
  EXPECT_EQ(Get("client", family(), server() + "-46"), 0);
  EXPECT_EQ(Get("client", family(), server() + "-64"), 0);
  // The name is there, an address of that family is not (EAI_NODATA).
  const Outcome none = mesh_->Exec("shop/client", {"python3", "-c", R"(
import socket, sys
try:
    print(socket.getaddrinfo(sys.argv[1], 80, getattr(socket, sys.argv[2])))
except socket.gaierror as e:
    print(e.errno)
)",
                                                   server() + "-" + std::to_string(other()),
                                                   family() == 4 ? "AF_INET" : "AF_INET6"});
  EXPECT_EQ(none.out, "-5\n") << none.err;
}

TEST_P(DualStack, OutOfTheMeshAndIntoIt) {
  EXPECT_EQ(Get("client", family(), Address("outside/" + server() + "-plain", family())), 0);
  EXPECT_EQ(Get("stranger", family(), Address("shop/" + server(), family())), 0);
  EXPECT_EQ(Get("client", family(), Address("shop/" + server(), family())), 0);
}

TEST_P(DualStack, DenyByAddressCountsInItsFamilyAlone) {
  Deny(mesh_->PodIp("shop/client", family()));
  const std::string service = server() + "-46", pod = "shop/" + server();
  EXPECT_TRUE(Eventually([&] { return Refused(Get("client", family(), service)); }));
  EXPECT_TRUE(Refused(Get("client", family(), Address(pod, family()))));
  EXPECT_EQ(Get("client", other(), service), 0);
  EXPECT_EQ(Get("client", other(), Address(pod, other())), 0);
  EXPECT_EQ(Get("stranger", family(), Address(pod, family())), 0);
}

TEST_P(DualStack, DenyByAddressOfAStranger) {
  Deny(mesh_->PodIp("outside/stranger", family()) + (family() == 4 ? "/32" : "/128"));
  const std::string pod = "shop/" + server();
  EXPECT_TRUE(
      Eventually([&] { return Refused(Get("stranger", family(), Address(pod, family()))); }));
  EXPECT_EQ(Get("stranger", other(), Address(pod, other())), 0);
  EXPECT_EQ(Get("client", family(), Address(pod, family())), 0);
}

// The proxy speaks to the application in the client's name, from ports that the client's own plain
// connections to it do not have: those are even.
TEST_P(DualStack, PortsInAClientsNameAreNotItsOwn) {
  for (const char* from : {"shop/client", "outside/stranger"}) {
    const std::string ip = mesh_->PodIp(from, family());
    for (int i = 0; i < 8; ++i) {
      const Outcome got = mesh_->Exec(
          from,
          {"curl", "-sS", "-m", "8", "http://" + Address("shop/" + server(), family()) + "/"});
      const std::string peer = (family() == 6 ? "[" + ip + "]" : ip) + ":";
      const size_t at = got.out.find("\"from\":\"" + peer);
      ASSERT_NE(at, std::string::npos) << from << ": " << got.out << got.err;
      EXPECT_EQ(std::atoi(got.out.c_str() + at + 8 + peer.size()) % 2, 1) << got.out;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, DualStack,
                         testing::Combine(testing::Values(4, 6), testing::Values("near", "far")),
                         [](const auto& info) {
                           return "IPv" + std::to_string(std::get<0>(info.param)) + "_" +
                                  std::get<1>(info.param);
                         });

}  // namespace
}  // namespace mesh::test
