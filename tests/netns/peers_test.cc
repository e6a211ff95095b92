// Other people's implementations at either end of our tunnel: curl 8 as an HBONE client, nghttpx as
// an HBONE server. Needs `make peers`.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/support/certificates.h"
#include "tests/support/mesh_test.h"
#include "tests/support/objects.h"

namespace mesh::test {
namespace {

const std::string kManifests = kShopAndOutside + R"(---
apiVersion: v1
kind: ServiceAccount
metadata: {name: foreign, namespace: outside}
)" + IdlePod("shop", "client", "node-1") +
                               ServingPod("shop", "server", "node-2") + R"(---
apiVersion: v1
kind: Pod
metadata:
  name: foreign
  namespace: outside
  labels: {networking.istio.io/tunnel: http}
spec:
  nodeName: node-2
  serviceAccountName: foreign
  containers:
  - {name: app, image: culvert/meshapp, command: [meshapp, serve, --port, "8080", --name, foreign]}
)";

// nghttpx ends TLS and HTTP/2 and hands each CONNECT to this as HTTP/1.1.
constexpr const char* kConnectProxy = R"(
import socket, threading
def copy(a, b):
    try:
        while True:
            d = a.recv(65536)
            if not d: break
            b.sendall(d)
    except OSError: pass
    try: b.shutdown(socket.SHUT_WR)
    except OSError: pass
def serve(c):
    head = b''
    while b'\r\n\r\n' not in head: head += c.recv(4096)
    authority = head.split()[1].decode()
    host, port = authority.rsplit(':', 1)
    s = socket.create_connection(('127.0.0.1', int(port)))
    c.sendall(b'HTTP/1.1 200 OK\r\n\r\n')
    threading.Thread(target=copy, args=(c, s), daemon=True).start()
    copy(s, c)
    c.close(); s.close()
l = socket.create_server(('127.0.0.1', 8118))
while True: threading.Thread(target=serve, args=(l.accept()[0],), daemon=True).start()
)";

class Peers : public MeshTest {
 protected:
  static bool HavePeers() { return std::filesystem::exists(MESH_PEERS_DIR "/curl"); }
  void SetUp() override {
    if (!HavePeers()) GTEST_SKIP() << "SKIPPED: needs `make peers`";
    MeshTest::SetUp();
  }
  static void SetUpTestSuite() {
    if (!HavePeers() || !Up("peers", kManifests, {"shop/client", "shop/server", "outside/foreign"}))
      return;
    dir_ = mesh_->root() + "/peers";
    const Outcome made = IssueCertificate(mesh_->root() + "/pki/ca", dir_,
                                          "spiffe://cluster.local/ns/outside/sa/foreign");
    ASSERT_EQ(made.code, 0) << made.err;
  }
  static Outcome Curl8(std::vector<std::string> more) {
    std::vector<std::string> argv = {
        MESH_PEERS_DIR "/curl", "-sS", "-m", "8", "--proxytunnel", "--proxy-http2",
        "--proxy-insecure"};
    argv.insert(argv.end(), more.begin(), more.end());
    return mesh_->Exec("outside/foreign", argv);
  }

  static std::string dir_;
};
std::string Peers::dir_;

TEST_F(Peers, CurlWithAMeshCertificateFetchesThroughOurInbound) {
  const std::string ip = mesh_->PodIp("shop/server");
  const Outcome got =
      Curl8({"--proxy", "https://" + ip + ":15008", "--proxy-cert", dir_ + "/leaf.pem",
             "--proxy-key", dir_ + "/key.pem", "http://" + ip + ":8080/"});
  EXPECT_EQ(got.code, 0) << got.err;
  EXPECT_NE(got.out.find("\"service\":\"server\""), std::string::npos) << got.out;
  EXPECT_TRUE(Eventually([] {
    return !Lines(mesh_->ZtunnelLog("node-2"),
                  {"src.identity=\"spiffe://cluster.local/ns/outside/sa/foreign\"",
                   "direction=\"inbound\""})
                .empty();
  }));
}

TEST_F(Peers, CurlWithoutACertificateIsRefused) {
  const std::string ip = mesh_->PodIp("shop/server");
  EXPECT_NE(Curl8({"--proxy", "https://" + ip + ":15008", "http://" + ip + ":8080/"}).code, 0);
}

TEST_F(Peers, OurOutboundReachesAnEndThatNghttpxTerminates) {
  const std::string ip = mesh_->PodIp("outside/foreign");
  {
    std::ofstream script(dir_ + "/connect.py");
    script << kConnectProxy;
  }
  Background backend(mesh_->ExecWords("outside/foreign", {"python3", dir_ + "/connect.py"}));
  Background nghttpx(mesh_->ExecWords(
      "outside/foreign",
      {"nghttpx", "--conf=/dev/null", "--http2-proxy", "-f0.0.0.0,15008", "-b127.0.0.1,8118",
       "--verify-client", "--verify-client-cacert=" + mesh_->root() + "/pki/root-cert.pem",
       "--workers=1", "--errorlog-file=" + dir_ + "/nghttpx.log", dir_ + "/key.pem",
       dir_ + "/leaf.pem"}));
  Outcome got;
  EXPECT_TRUE(Eventually([&] {
    got = mesh_->Exec("shop/client", {"curl", "-sS", "-m", "5", "-H", "Connection: close",
                                      "http://" + ip + ":8080/"});
    return got.code == 0;
  })) << got.err
      << nghttpx.Stop().out << mesh_->ZtunnelLog("node-1");
  EXPECT_NE(got.out.find("\"service\":\"foreign\""), std::string::npos) << got.out;
  // However nghttpx ends the stream, the answer came through it.
  EXPECT_TRUE(Eventually([&] {
    for (const std::string& line :
         Lines(mesh_->ZtunnelLog("node-1"), {"dst.addr=" + ip + ":15008", "dst.hbone_addr="})) {
      if (line.find("bytes_recv=0 ") == std::string::npos) return true;
    }
    return false;
  }));
}

}  // namespace
}  // namespace mesh::test
