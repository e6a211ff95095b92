// Applications open their connections in many ways; each of them is captured, arrives, and sees the
// addresses it would see without a mesh.
#include <gtest/gtest.h>

#include "tests/support/mesh_test.h"
#include "tests/support/objects.h"

namespace mesh::test {
namespace {

const std::string kManifests = kShopAndOutside + IdlePod("shop", "client", "node-1") +
                               PodOf("shop", "near", "node-1", R"(tcp-echo, --port, "9000")") +
                               PodOf("shop", "far", "node-2", R"(tcp-echo, --port, "9000")") +
                               R"(---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
)";

// STRICT: what is not captured is refused, so an echo that comes back was captured.
constexpr const char* kPrelude = R"py(
import errno, select, socket, struct, sys
ip = sys.argv[1]
v6 = ':' in ip
family = socket.AF_INET6 if v6 else socket.AF_INET
where = (ip, 9000)
def echo(s, sent=False):
    s.settimeout(8)
    if not sent: s.sendall(b'ping')
    got = b''
    while len(got) < 4:
        b = s.recv(4 - len(got))
        if not b: break
        got += b
    assert got == b'ping', got
def plain(): return socket.socket(family, socket.SOCK_STREAM)
)py";

struct Way {
  const char* name;
  const char* code;
};

const Way kWays[] = {
    {"Blocking", "s = plain(); s.connect(where); echo(s)"},
    {"NonBlocking",
     "s = plain(); s.setblocking(False); e = s.connect_ex(where)\n"
     "assert e in (0, errno.EINPROGRESS), e\n"
     "assert select.select([], [s], [], 8)[1]\n"
     "assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0; echo(s)"},
    {"BoundBefore",
     "s = plain(); s.bind(('::' if v6 else '0.0.0.0', 0)); port = s.getsockname()[1]\n"
     "s.connect(where); assert s.getsockname()[1] == port; echo(s)"},
    {"FastOpenSend", "s = plain(); s.sendto(b'ping', socket.MSG_FASTOPEN, where); echo(s, True)"},
    {"FastOpenConnect", "s = plain(); s.setsockopt(6, 30, 1); s.connect(where); echo(s)"},
    {"PeerNameIsWhatWasAsked",
     "s = plain(); s.connect(where); assert s.getpeername()[:2] == where, s.getpeername(); "
     "echo(s)"},
    {"MappedAddress",
     "s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)\n"
     "there = (ip if v6 else '::ffff:' + ip, 9000)\n"
     "s.connect(there); assert s.getpeername()[:2] == there, s.getpeername(); echo(s)"},
};

class Sockets : public MeshTest, public testing::WithParamInterface<Way> {
 protected:
  static void SetUpTestSuite() {
    if (!Up("sockets", kManifests, {"shop/client", "shop/near", "shop/far"})) return;
    ASSERT_TRUE(Eventually([] {
      return Try(kWays[0].code, "shop/far", 4).code == 0 &&
             Try(kWays[0].code, "shop/near", 6).code == 0;
    }));
  }
  static Outcome Try(const std::string& code, const std::string& pod, int family) {
    return mesh_->Exec("shop/client",
                       {"python3", "-c", kPrelude + code, mesh_->PodIp(pod, family)});
  }
};

TEST_P(Sockets, ReachesBothNodesInBothFamilies) {
  for (const char* pod : {"shop/near", "shop/far"}) {
    for (const int family : {4, 6}) {
      const Outcome got = Try(GetParam().code, pod, family);
      EXPECT_EQ(got.code, 0) << pod << " over IPv" << family << ": " << got.err;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ways, Sockets, testing::ValuesIn(kWays),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace mesh::test
