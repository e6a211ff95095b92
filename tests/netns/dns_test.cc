// Names as the applications of a running mesh see them: raw questions over each kind of socket, the
// C library's resolver, and a real resolver elsewhere for all that is not the mesh's.
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "tests/support/dns_probe.h"
#include "tests/support/mesh_test.h"
#include "tests/support/objects.h"

namespace mesh::test {
namespace {

constexpr int kA = 1, kTxt = 16, kAaaa = 28;
const std::string kManifests = kShopAndOutside + R"(---
apiVersion: v1
kind: Namespace
metadata:
  name: other
  labels: {istio.io/dataplane-mode: ambient}
---
apiVersion: v1
kind: Service
metadata: {name: four, namespace: shop}
spec:
  clusterIP: 10.96.7.1
  selector: {app: db}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: six, namespace: shop}
spec:
  ipFamilies: [IPv6]
  ipFamilyPolicy: SingleStack
  selector: {app: db}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere, namespace: other}
spec:
  clusterIP: 10.96.7.2
  selector: {app: none}
  ports: [{name: http, port: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec:
  clusterIP: None
  selector: {app: db}
  ports: [{name: http, port: 8080}]
---
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
      - {name: http, image: culvert/meshapp, command: [meshapp, serve, --port, "8080"]}
)" + IdlePod("shop", "client", "node-1") +
                               R"(---
apiVersion: v1
kind: Pod
metadata: {name: resolver, namespace: outside}
spec:
  nodeName: node-2
)";

// The resolver's own answers carry no authority, the mesh's do.
class Dns : public MeshTest, public testing::WithParamInterface<const char*> {
 protected:
  static void SetUpTestSuite() {
    if (!Up("dns", kManifests + DnsServerContainers(),
            {"shop/client", "shop/db-0", "shop/db-1", "outside/resolver"}))
      return;
    resolver_ = mesh_->PodIp("outside/resolver");
    ASSERT_TRUE(Eventually([] {
      return Ask("db.shop.svc.cluster.local", kA, "udp").find("answers=2") != npos;
    })) << Ask("db.shop.svc.cluster.local", kA, "udp");
    ASSERT_TRUE(Eventually([] { return Ask("example.com", kA, "tcp") == kForwarded; }))
        << Ask("example.com", kA, "tcp");
  }

  static std::string Ask(const std::string& name, int type, const std::string& how,
                         const std::string& server = resolver_) {
    const Outcome got = mesh_->Exec("shop/client", DnsAsk(server, name, type, how));
    return got.out.substr(0, got.out.find('\n')) + got.err;
  }
  // Through the C library, with `resolver_` as the only nameserver of this command.
  static Outcome Getent(const std::string& database, const std::string& name) {
    return mesh_->Exec("shop/client",
                       {"unshare", "-m", "bash", "-c",
                        "sed \"s/^nameserver.*/nameserver $1/\" /etc/resolv.conf >/dev/shm/r$$ && "
                        "mount --bind /dev/shm/r$$ /etc/resolv.conf && rm /dev/shm/r$$ && "
                        "getent \"$2\" \"$3\"",
                        "sh", resolver_, database, name});
  }
  static constexpr size_t npos = std::string::npos;
  static constexpr const char* kForwarded = "rcode=0 tc=0 aa=0 answers=1 198.51.100.7";
  static constexpr const char* kUnknown = "rcode=3 tc=0 aa=0 answers=0";
  inline static std::string resolver_;
};

// Two addresses in the order in which the probe prints them.
std::string Sorted(std::string a, std::string b) {
  if (b < a) std::swap(a, b);
  return a + " " + b;
}

TEST_P(Dns, MeshNamesAreAnsweredAuthoritatively) {
  for (const char* name : {"four.shop.svc.cluster.local", "four.shop.svc", "four.shop", "four"}) {
    EXPECT_EQ(Ask(name, kA, GetParam()), "rcode=0 tc=0 aa=1 answers=1 10.96.7.1") << name;
  }
  EXPECT_EQ(Ask("FOUR.Shop.SVC.cluster.LOCAL", kA, GetParam()),
            "rcode=0 tc=0 aa=1 answers=1 10.96.7.1");
  EXPECT_EQ(Ask("elsewhere.other", kA, GetParam()), "rcode=0 tc=0 aa=1 answers=1 10.96.7.2");
}

TEST_P(Dns, ASearchDomainAnswersWithTheNameThatWasMeant) {
  // What the C library asks first for elsewhere.other: our namespace is tried before.
  EXPECT_EQ(Ask("elsewhere.other.shop.svc.cluster.local", kA, GetParam()),
            "rcode=0 tc=0 aa=1 answers=2 10.96.7.2");
}

TEST_P(Dns, TheOtherFamilyIsEmptyNotUnknown) {
  EXPECT_EQ(Ask("four.shop.svc.cluster.local", kAaaa, GetParam()), "rcode=0 tc=0 aa=1 answers=0");
  EXPECT_EQ(Ask("six.shop.svc.cluster.local", kA, GetParam()), "rcode=0 tc=0 aa=1 answers=0");
  EXPECT_NE(Ask("six.shop.svc.cluster.local", kAaaa, GetParam()).find("aa=1 answers=1 "), npos);
}

TEST_P(Dns, HeadlessServiceIsAllItsEndpointsAndEachPodHasAName) {
  const std::string zero = mesh_->PodIp("shop/db-0"), one = mesh_->PodIp("shop/db-1");
  EXPECT_EQ(Ask("db.shop.svc.cluster.local", kA, GetParam()),
            "rcode=0 tc=0 aa=1 answers=2 " + Sorted(zero, one));
  EXPECT_EQ(Ask("db-0.db.shop.svc.cluster.local", kA, GetParam()),
            "rcode=0 tc=0 aa=1 answers=1 " + zero);
  EXPECT_EQ(Ask("db-1.db.shop.svc.cluster.local", kA, GetParam()),
            "rcode=0 tc=0 aa=1 answers=1 " + one);
  // A pod that is not there has no name, and its service's name does not stand in for it.
  EXPECT_EQ(Ask("db-7.db.shop.svc.cluster.local", kA, GetParam()), kUnknown);
}

TEST_P(Dns, AllElseIsForwardedAndComesBackUnchanged) {
  EXPECT_EQ(Ask("example.com", kA, GetParam()), kForwarded);
  EXPECT_EQ(Ask("example.com", kAaaa, GetParam()), "rcode=0 tc=0 aa=0 answers=0");
  EXPECT_EQ(Ask("nothing.example.com", kA, GetParam()), kUnknown);
  // Truncation is the resolver's own word; whoever then asks over TCP gets it all.
  EXPECT_EQ(Ask("large.example.com", kTxt, GetParam()), std::string(GetParam()) == "tcp"
                                                            ? "rcode=0 tc=0 aa=0 answers=100"
                                                            : "rcode=0 tc=1 aa=0 answers=0");
  // A name of the mesh, asked for another type, is not ours to answer.
  EXPECT_EQ(Ask("four.shop.svc.cluster.local", kTxt, GetParam()), kUnknown);
}

TEST_P(Dns, ResolverDownIsServfailAtOnceAndMeshNamesStillAnswer) {
  const std::string nobody = mesh_->PodIp("shop/db-0");  // no name service there: refused
  EXPECT_EQ(Ask("example.com", kA, GetParam(), nobody), "rcode=2 tc=0 aa=0 answers=0");
  EXPECT_EQ(Ask("four", kA, GetParam(), nobody), "rcode=0 tc=0 aa=1 answers=1 10.96.7.1");
}

INSTANTIATE_TEST_SUITE_P(Sockets, Dns, testing::Values("udp", "udp-unconnected", "tcp"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

class DnsOfTheCLibrary : public Dns {};

TEST_F(DnsOfTheCLibrary, EveryFormOfANameResolves) {
  for (const char* name : {"four", "four.shop", "four.shop.svc", "four.shop.svc.cluster.local",
                           "four.shop.svc.cluster.local."}) {
    const Outcome got = Getent("ahostsv4", name);
    EXPECT_EQ(got.code, 0) << name << got.err;
    EXPECT_NE(got.out.find("10.96.7.1 "), npos) << name << ": " << got.out;
  }
  EXPECT_NE(Getent("ahostsv4", "elsewhere.other").out.find("10.96.7.2 "), npos);
  for (const char* name : {"db-1.db", "db-1.db.shop", "db-1.db.shop.svc.cluster.local"})
    EXPECT_NE(Getent("ahostsv4", name).out.find(mesh_->PodIp("shop/db-1") + " "), npos) << name;
  // One name in both families at once: the missing one is no error.
  EXPECT_NE(Getent("ahosts", "four").out.find("10.96.7.1 "), npos);
  EXPECT_NE(Getent("ahosts", "six").out.find(":"), npos);
  EXPECT_NE(Getent("ahostsv4", "www.example.com").out.find("198.51.100.7"), npos);
  EXPECT_NE(Getent("ahostsv4", "nothing.example.com").code, 0);
}

TEST_F(DnsOfTheCLibrary, AnAnswerTooLargeForUdpIsFetchedOverTcp) {
  std::string slice =
      "apiVersion: v1\nkind: Service\nmetadata: {name: big, namespace: shop}\n"
      "spec: {clusterIP: None, ports: [{name: tcp, port: 80}]}\n---\n"
      "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
      "metadata: {name: big-1, namespace: shop, labels: {kubernetes.io/service-name: big}}\n"
      "addressType: IPv4\nports: [{name: tcp, port: 80}]\nendpoints:\n";
  for (int i = 1; i <= 60; ++i)
    slice += "- {addresses: [192.0.2." + std::to_string(i) + "], conditions: {ready: true}}\n";
  ASSERT_EQ(mesh_->Apply(slice).code, 0);
  EXPECT_TRUE(Eventually([] {
    return Ask("big.shop.svc.cluster.local", kA, "tcp").find("tc=0 aa=1 answers=60") != npos;
  })) << Ask("big.shop.svc.cluster.local", kA, "tcp");
  EXPECT_NE(Ask("big.shop.svc.cluster.local", kA, "udp").find("tc=1"), npos)
      << Ask("big.shop.svc.cluster.local", kA, "udp");
  std::istringstream lines(Getent("ahostsv4", "big").out);
  int streams = 0;
  for (std::string line; std::getline(lines, line);) streams += line.find("STREAM") != npos;
  EXPECT_EQ(streams, 60);
  EXPECT_EQ(mesh_->Delete(slice).code, 0);
}

TEST_F(DnsOfTheCLibrary, ARemovedServiceIsForgotten) {
  const std::string service =
      "apiVersion: v1\nkind: Service\nmetadata: {name: brief, namespace: shop}\n"
      "spec: {clusterIP: 10.96.7.9, selector: {app: db}, ports: [{name: http, port: 80}]}\n";
  ASSERT_EQ(mesh_->Apply(service).code, 0);
  EXPECT_TRUE(Eventually([] { return Ask("brief.shop", kA, "udp").find("10.96.7.9") != npos; }));
  ASSERT_EQ(mesh_->Delete(service).code, 0);
  EXPECT_TRUE(Eventually([] { return Ask("brief.shop", kA, "udp") == kForwarded; }));
}

}  // namespace
}  // namespace mesh::test
