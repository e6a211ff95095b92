// XDS_ON_DEMAND: a node learns of an address when traffic asks for it, from the real controller.
#include <gtest/gtest.h>
#include <stdlib.h>

#include "tests/support/mesh_test.h"
#include "tests/support/objects.h"

namespace mesh::test {
namespace {

const std::string kManifests = kShopAndOutside + R"(---
apiVersion: v1
kind: Service
metadata: {name: server, namespace: shop}
spec:
  clusterIP: 10.96.41.7
  selector: {app: server}
  ports:
  - {name: http, port: 80, targetPort: 8080}
)" + IdlePod("shop", "client", "node-1") +
                               ServingPod("shop", "server", "node-2") +
                               ServingPod("shop", "direct", "node-2") +
                               ServingPod("outside", "plain", "node-2");

class OnDemand : public MeshTest {
 protected:
  static void SetUpTestSuite() {
    ::setenv("MESH_LOCAL_ENV", "XDS_ON_DEMAND=true ISTIO_META_DNS_CAPTURE=false", 1);
    Up("ondemand", kManifests, {"shop/client", "shop/server", "shop/direct", "outside/plain"});
    ::unsetenv("MESH_LOCAL_ENV");
  }
  static Outcome Get(const std::string& address) {
    return mesh_->Exec("shop/client", {"curl", "-sS", "-m", "8", "http://" + address + "/"});
  }
  static double Demands() {
    return MetricSum(mesh_->Metrics("node-1"), "mesh_xds_demands_total", {});
  }
  // The connection's line on the client's node.
  static bool LoggedWith(const std::string& destination) {
    return Eventually([&] {
      return !Lines(mesh_->ZtunnelLog("node-1"),
                    {"direction=\"outbound\"", destination, "dst.identity=\"spiffe://", ":15008"})
                  .empty();
    });
  }
};

TEST_F(OnDemand, AServiceIsReachedThroughTheTunnel) {
  const double before = Demands();
  const Outcome got = Get("10.96.41.7");
  EXPECT_EQ(got.code, 0) << got.out << got.err;
  EXPECT_GT(Demands(), before) << "it was known without being asked for";
  EXPECT_TRUE(LoggedWith("dst.service=\"server.shop.svc.cluster.local\""));
}

TEST_F(OnDemand, AWorkloadIsReachedThroughTheTunnel) {
  const std::string address = mesh_->PodIp("shop/direct") + ":8080";
  const Outcome got = Get(address);
  EXPECT_EQ(got.code, 0) << got.out << got.err;
  EXPECT_TRUE(LoggedWith("dst.workload=\"direct\""));
}

TEST_F(OnDemand, AnAddressOutsideTheMeshPassesThrough) {
  const Outcome got = Get(mesh_->PodIp("outside/plain") + ":8080");
  EXPECT_EQ(got.code, 0) << got.out << got.err;
  EXPECT_EQ(MetricSum(mesh_->Metrics("node-1"), "mesh_xds_demands_given_up_total", {}), 0);
}

}  // namespace
}  // namespace mesh::test
