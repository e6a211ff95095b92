// Which backend a service's address stands for, decided by the kernel's own run of
// bpf/lib/service.h; and that all programs load with services on.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "bpf/include/mesh_abi.h"
#include "bpf/mesh.skel.h"
#include "bpf/service_test.skel.h"
#include "ztunnel/base/ip.h"

namespace mesh::test {
namespace {

constexpr int kNobody = 0, kNoService = -1;

mesh_addr AddrOf(const char* text) {
  mesh_addr addr;
  std::memcpy(addr.bytes, IpAddress::Parse(text)->bytes16().data(), 16);
  return addr;
}

class Service : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "SKIPPED: needs root";
    skeleton_ = service_test_bpf::open_and_load();
    ASSERT_NE(skeleton_, nullptr);
  }
  void TearDown() override { service_test_bpf::destroy(skeleton_); }

  // Backends are told apart by their ports: 1001, 1002, ...
  void Put(const char* ip, uint32_t backends, uint8_t protocol = IPPROTO_TCP) {
    const mesh_service_key key = {
        .addr = AddrOf(ip), .port = 80, .protocol = protocol, .reserved = 0};
    mesh_service service = {};
    service.count = backends;
    for (uint32_t i = 0; i < std::min<uint32_t>(backends, MESH_SERVICE_BACKENDS); ++i) {
      service.backends[i] = {
          .addr = AddrOf("10.244.1.2"), .port = static_cast<uint16_t>(1001 + i), .reserved = 0};
    }
    ASSERT_EQ(
        ::bpf_map_update_elem(bpf_map__fd(skeleton_->maps.mesh_services), &key, &service, BPF_ANY),
        0);
  }
  int Ask(const char* ip, uint32_t pick = 0, uint16_t port = 80, bool udp = false) {
    struct Question {
      char ethernet[14] = {};
      mesh_addr addr;
      uint16_t port, udp;
      uint32_t pick;
    } __attribute__((packed));
    Question question;
    question.addr = AddrOf(ip);
    question.port = port;
    question.udp = udp;
    question.pick = pick;
    bpf_test_run_opts run = {};
    run.sz = sizeof(run);
    run.data_in = &question;
    run.data_size_in = sizeof(question);
    EXPECT_EQ(::bpf_prog_test_run_opts(bpf_program__fd(skeleton_->progs.service_choice), &run), 0);
    return static_cast<int>(run.retval);
  }

  service_test_bpf* skeleton_ = nullptr;
};

TEST_F(Service, ThePickChoosesAmongAllBackends) {
  Put("10.96.0.7", 3);
  EXPECT_EQ(Ask("10.96.0.7", 0), 1001);
  EXPECT_EQ(Ask("10.96.0.7", 1), 1002);
  EXPECT_EQ(Ask("10.96.0.7", 2), 1003);
  EXPECT_EQ(Ask("10.96.0.7", 3), 1001);
  EXPECT_EQ(Ask("10.96.0.7", 0xffffffff), 1001 + static_cast<int>(0xffffffffu % 3));
}

TEST_F(Service, AddressPortAndProtocolMustAllMatch) {
  Put("10.96.0.7", 1);
  Put("fd00:10:96::7", 1, IPPROTO_UDP);
  EXPECT_EQ(Ask("10.96.0.7"), 1001);
  EXPECT_EQ(Ask("::ffff:10.96.0.7"), 1001);
  EXPECT_EQ(Ask("10.96.0.8"), kNoService);
  EXPECT_EQ(Ask("10.96.0.7", 0, 81), kNoService);
  EXPECT_EQ(Ask("10.96.0.7", 0, 80, true), kNoService);
  EXPECT_EQ(Ask("fd00:10:96::7", 0, 80, true), 1001);
  EXPECT_EQ(Ask("fd00:10:96::7"), kNoService);
}

TEST_F(Service, NobodyReadyIsNotTheSameAsNoService) {
  Put("10.96.0.7", 0);
  EXPECT_EQ(Ask("10.96.0.7"), kNobody);
}

TEST_F(Service, TheLastBackendIsReachedAndACountBeyondTheListIsNot) {
  Put("10.96.0.7", MESH_SERVICE_BACKENDS);
  EXPECT_EQ(Ask("10.96.0.7", MESH_SERVICE_BACKENDS - 1), 1000 + MESH_SERVICE_BACKENDS);
  Put("10.96.0.7", MESH_SERVICE_BACKENDS + 1);
  EXPECT_EQ(Ask("10.96.0.7", MESH_SERVICE_BACKENDS), kNobody);
}

TEST_F(Service, EveryProgramLoadsWithServicesOnAndWithout) {
  for (const bool on : {true, false}) {
    mesh_bpf* mesh = mesh_bpf::open();
    ASSERT_NE(mesh, nullptr);
    mesh->rodata->mesh_services_on = on;
    mesh->rodata->mesh_retval_on = on;
    EXPECT_EQ(mesh_bpf::load(mesh), 0) << "services on: " << on;
    mesh_bpf::destroy(mesh);
  }
}

}  // namespace
}  // namespace mesh::test
