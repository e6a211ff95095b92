// Many connections at once through the running mesh, and a pod that floods beside one that does
// not.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/mesh_test.h"
#include "tests/support/objects.h"
#include "tests/support/pod_script.h"

namespace mesh::test {
namespace {

const std::string kManifests = kShopAndOutside + R"(---
apiVersion: v1
kind: Service
metadata: {name: near, namespace: shop}
spec:
  selector: {app: near}
  ports:
  - {name: tcp-echo, port: 9000}
  - {name: tcp-sink, port: 9002}
---
apiVersion: v1
kind: Service
metadata: {name: far, namespace: shop}
spec:
  selector: {app: far}
  ports:
  - {name: tcp-echo, port: 9000}
  - {name: tcp-sink, port: 9002}
)";

std::string ServerPod(const std::string& name, const std::string& node,
                      const std::string& ns = "shop") {
  return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", namespace: " + ns +
         ", labels: {app: " + name + "}}\nspec:\n  nodeName: " + node + R"(
  containers:
  - {name: echo, image: culvert/meshapp, command: [meshapp, tcp-echo, --port, "9000"]}
  - {name: sink, image: culvert/meshapp, command: [meshapp, sink, --port, "9002"]}
)";
}

// Opens argv[2] connections to argv[1], sends a byte over each and reads it back; when told so, the
// same again over the same connections, and ends them all.
constexpr const char* kHold = R"(
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
to = socket.getaddrinfo(sys.argv[1], 9000, socket.AF_INET)[0][4]
held = []
def exchange(byte):
    for s in held: s.sendall(byte)
    for s in held:
        got = s.recv(2)
        if got != byte: sys.exit('got %r for %r' % (got, byte))
for _ in range(int(sys.argv[2])):
    held.append(socket.create_connection(to, timeout=30))
exchange(b'a')
say('held')
wait('end')
exchange(b'b')
for s in held: s.close()
say('done')
)";

class Scale : public MeshTest {
 protected:
  static void SetUpTestSuite() {
    if (!Up("scale",
            kManifests + IdlePod("shop", "client", "node-1") +
                IdlePod("shop", "flooder", "node-1") + ServerPod("near", "node-1") +
                ServerPod("far", "node-2") + IdlePod("outside", "client", "node-1") +
                IdlePod("outside", "flooder", "node-1") + ServerPod("near", "node-1", "outside"),
            {"shop/client", "shop/flooder", "shop/near", "shop/far", "outside/client",
             "outside/flooder", "outside/near"}))
      return;
    for (const char* pod : {"shop/client", "shop/flooder"}) {
      for (const char* host : {"near", "far"}) {
        ASSERT_TRUE(Eventually([&] { return Short(pod, host, "0.1").code == 0; }));
      }
    }
  }
  static std::vector<std::string> ShortWords(const std::string& host, const std::string& seconds) {
    return {"meshapp",       "load", "short",     "--connect", host + ":9000",
            "--connections", "4",    "--seconds", seconds};
  }
  static Outcome Short(const std::string& pod, const std::string& host,
                       const std::string& seconds) {
    return mesh_->Exec(pod, ShortWords(host, seconds));
  }
  static double Sockets(const char* node) {
    return MetricSum(mesh_->Metrics(node), "istio_tcp_sockets_open", {});
  }
  static double Descriptors(const char* node) {
    return MetricSum(mesh_->Metrics(node), "process_open_fds", {});
  }
  // What the node keeps on purpose: tunnels for the next connection.
  static constexpr double kPooled = 250;

  static void HoldAndEnd(const std::string& host, int count, const char* server_node) {
    const double base[] = {Descriptors("node-1"), Descriptors(server_node)};
    ASSERT_EQ(Sockets("node-1"), 0);
    PodScript held(*mesh_, "shop/client", host, kHold, {host, std::to_string(count)});
    if (!held.Says("held", std::chrono::seconds(120))) FAIL() << held.Stop();
    EXPECT_GE(Sockets("node-1"), count);
    EXPECT_GE(Sockets(server_node), count);
    held.Tell("end");
    if (!held.Says("done", std::chrono::seconds(60))) ADD_FAILURE() << held.Stop();
    EXPECT_TRUE(Eventually([&] { return Sockets("node-1") + Sockets(server_node) == 0; }))
        << Sockets("node-1") << " and " << Sockets(server_node) << " connections are left";
    const double after[] = {Descriptors("node-1"), Descriptors(server_node)};
    for (int i = 0; i < 2; ++i) {
      EXPECT_LE(after[i], base[i] + kPooled) << "of " << base[i];
      std::printf("[ held     ] %s: %d connections; descriptors %.0f before, %.0f after\n",
                  i == 0 ? "node-1" : server_node, count, base[i], after[i]);
    }
  }
};

TEST_F(Scale, TenThousandConnectionsAtOnceBetweenNodes) { HoldAndEnd("far", 10'000, "node-2"); }

// Two descriptors a connection, both of one process.
TEST_F(Scale, FiveThousandConnectionsAtOnceOnOneNode) { HoldAndEnd("near", 5'000, "node-1"); }

TEST_F(Scale, APodThatFloodsDoesNotStarveItsNeighbour) {
  // {"mode":..,"done":N,"errors":N,..}
  const auto number = [](const std::string& json, const std::string& key) {
    const size_t at = json.find("\"" + key + "\":");
    return at == std::string::npos ? -1.0 : std::atof(json.c_str() + at + key.size() + 3);
  };
  // The same flood without the mesh says what of it is the machine's share.
  struct Case {
    std::string ns;
    std::string host;
  };
  const std::string plain = mesh_->PodIp("outside/near");
  for (const auto& [ns, host] :
       {Case{"shop", "near"}, Case{"shop", "far"}, Case{"outside", plain}}) {
    const auto run = [&] {
      auto words = ShortWords(host, "3");
      words.push_back("--json");
      return mesh_->Exec(ns + "/client", words).out;
    };
    const std::string alone = run();
    std::string crowded;
    {
      const std::string flooder = ns + "/flooder";
      Background bulk(
          mesh_->ExecWords(flooder, {"meshapp", "load", "bulk", "--connect", host + ":9002",
                                     "--connections", "32", "--seconds", "60"}));
      Background churn(mesh_->ExecWords(flooder, ShortWords(host, "60")));
      const auto flooded = [&] {
        const std::string established =
            mesh_->Exec(flooder, {"ss", "-Htn", "state", "established"}).out;
        return std::ranges::count(established, '\n') >= 32;
      };
      ASSERT_TRUE(Eventually(flooded));
      crowded = run();
      EXPECT_TRUE(flooded()) << "the flood was over before its neighbour was";
    }
    EXPECT_GT(number(alone, "done"), 0) << alone;
    EXPECT_EQ(number(alone, "errors"), 0) << alone;
    EXPECT_GT(number(crowded, "done"), 0) << crowded;
    EXPECT_EQ(number(crowded, "errors"), 0) << crowded;
    std::printf(
        "[ flood    ] %s: %.0f connections alone, %.0f beside the flood (%.2f); p99 x %.1f\n",
        (ns + "/" + host).c_str(), number(alone, "done"), number(crowded, "done"),
        number(crowded, "done") / number(alone, "done"),
        number(crowded, "p99_us") / number(alone, "p99_us"));
    ASSERT_TRUE(Eventually([] { return Sockets("node-1") == 0; }));
  }
}

}  // namespace
}  // namespace mesh::test
