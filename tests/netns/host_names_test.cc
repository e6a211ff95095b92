// Endpoints that are known by a host name: the node's resolver says where they are, and asks a name
// server that the test runs in the node's own namespace, under the address in /etc/resolv.conf.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <sstream>

#include "tests/support/mesh_test.h"
#include "tests/support/objects.h"
#include "ztunnel/base/files.h"

namespace mesh::test {
namespace {

// A records out of a JSON file that the test may change; other names are not there.
constexpr const char* kNameServer = R"py(
import json, socket, struct, subprocess, sys
address, names = sys.argv[1:]
six = ':' in address
subprocess.run(['ip', 'addr', 'add', address + ('/128' if six else '/32'), 'dev', 'lo'],
               stderr=subprocess.DEVNULL)  # loopback addresses are there already
s = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
s.bind((address, 53))
while True:
    q, peer = s.recvfrom(4096)
    labels, at = [], 12
    while q[at]:
        labels.append(q[at + 1:at + 1 + q[at]].decode().lower())
        at += q[at] + 1
    found = json.load(open(names)).get('.'.join(labels))
    answer = b''
    if found and struct.unpack('>H', q[at + 1:at + 3])[0] == 1:
        answer = b'\xc0\x0c' + struct.pack('>HHIH', 1, 1, 1, 4) + socket.inet_aton(found)
    flags = 0x8580 if found else 0x8583
    s.sendto(q[:2] + struct.pack('>HHHHH', flags, 1, bool(answer), 0, 0) + q[12:at + 5] + answer,
             peer)
)py";

std::string NameServerAddress() {
  std::istringstream file(ReadFileOr("/etc/resolv.conf"));
  std::string word, address;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    if (words >> word >> address && word == "nameserver") return address;
  }
  return "127.0.0.1";  // as the C library has it
}

std::string EntryOf(const std::string& name) {
  return fmt::format(R"(---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {0}, namespace: shop}}
spec:
  hosts: [{0}.example.test]
  resolution: DNS
  ports: [{{number: 8080, name: http, protocol: HTTP}}]
)",
                     name);
}

std::string WorkloadOf(const std::string& name, const std::string& labels) {
  return fmt::format(R"(---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: {0}, namespace: shop}}
spec:
  address: {0}.example.test
  serviceAccount: default
  labels: {{app: {0}{1}}}
---
apiVersion: v1
kind: Service
metadata: {{name: {0}, namespace: shop}}
spec:
  selector: {{app: {0}}}
  ports: [{{name: http, port: 80, targetPort: 8080}}]
)",
                     name, labels);
}

class HostNames : public MeshTest {
 protected:
  static void SetUpTestSuite() {
    if (!Up("names",
            kShopAndOutside + IdlePod("shop", "client", "node-1") +
                ServingPod("shop", "far", "node-2") + ServingPod("outside", "plain", "node-2") +
                EntryOf("db") + EntryOf("late") + WorkloadOf("legacy", "") +
                WorkloadOf("meshed", ", networking.istio.io/tunnel: http"),
            {"shop/client", "shop/far", "outside/plain"})) {
      return;
    }
    server_ = new Background({"nsenter", "--net=" + mesh_->NodeNetnsPath("node-1"), "python3", "-c",
                              kNameServer, NameServerAddress(), NamesFile()});
    SetNames("");
  }
  static void TearDownTestSuite() {
    delete server_;
    server_ = nullptr;
    MeshTest::TearDownTestSuite();
  }

  static std::string NamesFile() { return mesh_->root() + "/test-names.json"; }
  static void SetNames(const std::string& more) {
    const std::string plain = mesh_->PodIp("outside/plain");
    ASSERT_TRUE(
        WriteFile(NamesFile(),
                  fmt::format(R"({{"db.example.test": "{0}", "legacy.example.test": "{0}", )"
                              R"("meshed.example.test": "{1}"{2}}})",
                              plain, mesh_->PodIp("shop/far"), more))
            .ok());
  }
  static Outcome Get(const std::string& url) {
    return mesh_->Exec("shop/client", {"curl", "-sS", "-m", "10", url});
  }
  static bool Answers(const std::string& url, const std::string& who) {
    return Eventually([&] { return Get(url).out.find(who) != std::string::npos; });
  }
  static bool Logged(const std::vector<std::string>& parts) {
    return Eventually([&] { return !Lines(mesh_->ZtunnelLog("node-1"), parts).empty(); });
  }

  inline static Background* server_ = nullptr;
};

TEST_F(HostNames, AServiceEntrysHostIsWhereTheNodesResolverSays) {
  EXPECT_TRUE(Answers("http://db.example.test:8080/", "plain")) << mesh_->ZtunnelLog("node-1");
  EXPECT_TRUE(Logged(
      {"direction=\"outbound\"", mesh_->PodIp("outside/plain") + ":8080", "db.example.test"}));
}

TEST_F(HostNames, AWorkloadEntryByNameIsAnEndpointOfAService) {
  EXPECT_TRUE(Answers("http://legacy/", "plain")) << mesh_->ZtunnelLog("node-1");
  EXPECT_TRUE(
      Logged({"direction=\"outbound\"", mesh_->PodIp("outside/plain") + ":8080", "legacy.shop"}));
}

TEST_F(HostNames, APodOfTheMeshBehindANameIsReachedThroughATunnel) {
  EXPECT_TRUE(Answers("http://meshed/", "far")) << mesh_->ZtunnelLog("node-1");
  EXPECT_TRUE(Logged({"direction=\"outbound\"", mesh_->PodIp("shop/far") + ":15008",
                      "dst.identity=\"spiffe://cluster.local/ns/shop/sa/default\""}));
}

TEST_F(HostNames, ANameThatIsNotThereIsRefusedAtOnceAndFoundWhenItComes) {
  const auto begin = std::chrono::steady_clock::now();
  const Outcome got = Get("http://late.example.test:8080/");
  EXPECT_TRUE(Refused(got.code)) << got.code << got.err;
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(8));
  EXPECT_TRUE(Logged({"direction=\"outbound\"", "late.example.test", "reason=connect_unreachable"}))
      << mesh_->ZtunnelLog("node-1");
  SetNames(", \"late.example.test\": \"" + mesh_->PodIp("outside/plain") + "\"");
  EXPECT_TRUE(Answers("http://late.example.test:8080/", "plain")) << mesh_->ZtunnelLog("node-1");
}

}  // namespace
}  // namespace mesh::test
