// The inbound program's decisions, one connection at a time, run by the kernel with contexts of the
// test's own (BPF_PROG_TEST_RUN): nothing is attached.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "bpf/include/mesh_abi.h"
#include "bpf/mesh.skel.h"
#include "ztunnel/base/ip.h"
#include "ztunnel/base/unique_fd.h"

namespace mesh::test {
namespace {

constexpr const char* kPod4 = "10.244.1.2";
constexpr const char* kPod6 = "fd00::2";
constexpr uint64_t kCookie = 4711;

mesh_addr AddrOf(const char* text) {
  mesh_addr addr;
  std::memcpy(addr.bytes, IpAddress::Parse(text)->bytes16().data(), 16);
  return addr;
}

struct Syn {
  const char* from = "10.244.1.9";
  const char* to = kPod4;
  uint16_t port = 8080;
  uint16_t source_port = 40000;
  int protocol = IPPROTO_TCP;
};

enum class Answer { kLeft, kRefused, kDaemon };

class Lookup : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "SKIPPED: needs root";
    // The listener stands in a namespace of its own.
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
    skeleton_ = mesh_bpf::open_and_load();
    ASSERT_NE(skeleton_, nullptr);
    SetPod(MESH_POD_ENROLLED);
    mesh_config config = {};
    config.probe_v4 = AddrOf("169.254.7.127");
    config.probe_v6 = AddrOf("fd16:9254:7127:1337:ffff:ffff:ffff:ffff");
    Put(skeleton_->maps.mesh_config, uint32_t{0}, config);
  }
  void TearDown() override { mesh_bpf::destroy(skeleton_); }

  template <typename K, typename V>
  void Put(bpf_map* map, const K& key, const V& value) {
    ASSERT_EQ(::bpf_map_update_elem(bpf_map__fd(map), &key, &value, BPF_ANY), 0)
        << bpf_map__name(map);
  }
  void SetPod(uint32_t flags) {
    const mesh_pod pod = {.netns_cookie = kCookie, .flags = flags, .reserved = 0};
    Put(skeleton_->maps.mesh_pods, AddrOf(kPod4), pod);
    Put(skeleton_->maps.mesh_pods, AddrOf(kPod6), pod);
  }
  // The daemon's listener in the pod.
  void Listen(int family) {
    listener_.Reset(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::listen(listener_.get(), 1), 0);
    const mesh_listener_key key = {
        .netns_cookie = kCookie, .family = static_cast<uint32_t>(family), .reserved = 0};
    Put(skeleton_->maps.mesh_listeners, key, static_cast<uint64_t>(listener_.get()));
  }
  Answer Run(const Syn& syn) {
    const IpAddress from = *IpAddress::Parse(syn.from), to = *IpAddress::Parse(syn.to);
    bpf_sk_lookup context = {};
    context.family = to.IsV4() ? AF_INET : AF_INET6;
    context.protocol = static_cast<uint32_t>(syn.protocol);
    context.remote_port = htons(syn.source_port);
    context.local_port = syn.port;
    if (to.IsV4()) {
      context.remote_ip4 = htonl(from.v4_host_order());
      context.local_ip4 = htonl(to.v4_host_order());
    } else {
      std::memcpy(context.remote_ip6, from.bytes16().data(), 16);
      std::memcpy(context.local_ip6, to.bytes16().data(), 16);
    }
    bpf_sk_lookup out = {};
    bpf_test_run_opts run = {};
    run.sz = sizeof(run);
    run.ctx_in = &context;
    run.ctx_size_in = sizeof(context);
    run.ctx_out = &out;
    run.ctx_size_out = sizeof(out);
    EXPECT_EQ(::bpf_prog_test_run_opts(bpf_program__fd(skeleton_->progs.mesh_lookup), &run), 0);
    if (run.retval == SK_DROP) return Answer::kRefused;
    return out.cookie != 0 ? Answer::kDaemon : Answer::kLeft;
  }
  uint64_t Refusals(uint32_t reason) {
    std::vector<uint64_t> values(static_cast<size_t>(libbpf_num_possible_cpus()));
    ::bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.mesh_refusals), &reason, values.data());
    uint64_t sum = 0;
    for (const uint64_t value : values) sum += value;
    return sum;
  }

  mesh_bpf* skeleton_ = nullptr;
  UniqueFd listener_;
};

TEST_F(Lookup, WithoutAListenerPlainTextIsRefusedAndCounted) {
  EXPECT_EQ(Run({}), Answer::kRefused);
  EXPECT_EQ(Run({.from = "fd00::9", .to = kPod6}), Answer::kRefused);
  EXPECT_EQ(Refusals(MESH_REASON_DAEMON_ABSENT), 2u);
}

TEST_F(Lookup, AnIpv4ListenerServesIpv4Alone) {
  Listen(AF_INET);
  EXPECT_EQ(Run({}), Answer::kDaemon);
  EXPECT_EQ(Run({.from = "fd00::9", .to = kPod6}), Answer::kRefused);
}

TEST_F(Lookup, ADualStackListenerServesBoth) {
  Listen(AF_INET6);
  EXPECT_EQ(Run({}), Answer::kDaemon);
  EXPECT_EQ(Run({.from = "fd00::9", .to = kPod6}), Answer::kDaemon);
}

TEST_F(Lookup, AListenerThatEndsLeavesTheMapByItself) {
  Listen(AF_INET);
  listener_.Reset();
  EXPECT_EQ(Run({}), Answer::kRefused);
}

TEST_F(Lookup, AddressesThatTheAgentDoesNotKnowAreNoWayAround) {
  for (const char* to : {"10.244.1.3", "fd00::33", "fe80::2"}) {
    const char* from = to[0] == 'f' ? "fe80::1" : "10.244.1.9";
    EXPECT_EQ(Run({.from = from, .to = to}), Answer::kRefused) << to;
    EXPECT_EQ(Run({.from = from, .to = to, .protocol = IPPROTO_UDP}), Answer::kLeft) << to;
    EXPECT_EQ(Run({.from = to, .to = to}), Answer::kLeft) << to << " to itself";
  }
  EXPECT_EQ(Refusals(MESH_REASON_UNKNOWN_DESTINATION), 3u);
  EXPECT_EQ(Run({.to = "127.0.0.1"}), Answer::kLeft);
  EXPECT_EQ(Run({.from = "::1", .to = "::1"}), Answer::kLeft);
}

TEST_F(Lookup, ThePodItselfIsLeftAlone) {
  EXPECT_EQ(Run({.from = kPod4}), Answer::kLeft);
  EXPECT_EQ(Run({.from = kPod6, .to = kPod6}), Answer::kLeft);
  EXPECT_EQ(Run({.from = "127.0.0.1"}), Answer::kLeft);
}

TEST_F(Lookup, TunnelsReachTheirPortAndInnerPortsAreClosed) {
  SetPod(MESH_POD_ENROLLED | MESH_POD_STRICT);
  EXPECT_EQ(Run({.port = MESH_PORT_HBONE}), Answer::kLeft);
  for (const uint16_t port : {MESH_PORT_OUTBOUND, MESH_PORT_INBOUND_PLAINTEXT, MESH_PORT_DNS}) {
    EXPECT_EQ(Run({.port = port}), Answer::kRefused) << port;
  }
  EXPECT_EQ(Run({.port = MESH_PORT_DNS, .protocol = IPPROTO_UDP}), Answer::kRefused);
  EXPECT_EQ(Run({.port = 53, .protocol = IPPROTO_UDP}), Answer::kLeft);
}

TEST_F(Lookup, StrictRefusesPlainTextButNotProbesOrTheDaemon) {
  Listen(AF_INET6);
  SetPod(MESH_POD_ENROLLED | MESH_POD_STRICT);
  EXPECT_EQ(Run({}), Answer::kRefused);
  EXPECT_EQ(Refusals(MESH_REASON_STRICT_PLAINTEXT), 1u);
  // The daemon's connections and the prober's are let through one by one, never by address.
  for (const char* from : {"10.244.1.9", "169.254.7.127"}) {
    const mesh_guard_key guard = {.source = AddrOf(from),
                                  .destination = AddrOf(kPod4),
                                  .source_port = 40001,
                                  .destination_port = 8080,
                                  .reserved = 0};
    Put(skeleton_->maps.mesh_guard, guard, uint8_t{1});
    EXPECT_EQ(Run({.from = from, .source_port = 40001}), Answer::kLeft) << from;
    EXPECT_EQ(Run({.from = from, .source_port = 40002}), Answer::kRefused) << from;
  }
}

TEST_F(Lookup, APodThatFacesTheOutsideIsLeftAlone) {
  SetPod(MESH_POD_ENROLLED | MESH_POD_BYPASS_INBOUND);
  EXPECT_EQ(Run({}), Answer::kLeft);
  SetPod(0);
  EXPECT_EQ(Run({}), Answer::kRefused);
}

}  // namespace
}  // namespace mesh::test
