// What a workload costs in memory; what loading 100,000, one change and one lookup take is printed.
#include <gtest/gtest.h>
#include <malloc.h>

#include <chrono>

#include "proto/workload.pb.h"
#include "ztunnel/core/state/mesh_state.h"

namespace mesh::state {
namespace {

constexpr int kWorkloads = 100'000;
using Clock = std::chrono::steady_clock;

double Seconds(Clock::time_point since) {
  return std::chrono::duration<double>(Clock::now() - since).count();
}

std::string Host(int service) { return fmt::format("service-{}.shop.svc.cluster.local", service); }

istio::workload::Address Pod(int i, int services) {
  istio::workload::Address out;
  auto& w = *out.mutable_workload();
  w.set_name(fmt::format("service-{}-7d5bf8c6d9-{:05}", i % services, i));
  w.set_uid("Kubernetes//Pod/shop/" + w.name());
  w.set_namespace_("shop");
  w.add_addresses(IpAddress::V4(0x0a000000u + static_cast<uint32_t>(i)).ToBytes());
  w.set_service_account(fmt::format("service-{}", i % services));
  w.set_node(fmt::format("node-{}", i % 1000));
  w.set_canonical_name(w.service_account());
  w.set_canonical_revision("v1");
  w.set_workload_name(w.service_account());
  w.set_workload_type(istio::workload::POD);
  w.set_tunnel_protocol(istio::workload::HBONE);
  auto* port = (*w.mutable_services())["shop/" + Host(i % services)].add_ports();
  port->set_service_port(80);
  port->set_target_port(8080);
  return out;
}

istio::workload::Address Svc(int i) {
  istio::workload::Address out;
  auto& s = *out.mutable_service();
  s.set_name(fmt::format("service-{}", i));
  s.set_namespace_("shop");
  s.set_hostname(Host(i));
  s.add_addresses()->set_address(IpAddress::V4(0x0b000000u + static_cast<uint32_t>(i)).ToBytes());
  auto* port = s.add_ports();
  port->set_service_port(80);
  port->set_target_port(8080);
  return out;
}

// A workload may grow by a field, not by a text of its own: there may be 100,000 on every node.
static_assert(sizeof(Workload) <= 256);
static_assert(sizeof(Endpoint) <= 24);
constexpr size_t kMaxBytesEach = 640;  // with its part of the services and of every index

struct Loaded {
  StateStore store;
  MeshStateRef state;
  size_t bytes_each = 0;
  double seconds = 0;
};

void Load(int workloads, Loaded& out) {
  const size_t before = mallinfo2().uordblks;
  const auto start = Clock::now();
  for (int i = 0; i < workloads / 10; ++i) {
    ASSERT_TRUE(out.store.UpsertAddress("", Svc(i)).ok());
  }
  for (int i = 0; i < workloads; ++i) {
    ASSERT_TRUE(out.store.UpsertAddress("", Pod(i, workloads / 10)).ok());
  }
  out.state = out.store.Publish();
  out.seconds = Seconds(start);
  out.bytes_each = (mallinfo2().uordblks - before) / static_cast<size_t>(workloads);
  std::printf("%d workloads: %zu bytes each, loaded in %.2f s\n", workloads, out.bytes_each,
              out.seconds);
  EXPECT_LE(out.bytes_each, kMaxBytesEach);
  EXPECT_EQ(out.state->Endpoints(*out.state->FindService("shop", Host(0))).size(), 10u);
}

TEST(StateScale, TenThousandWorkloadsAreSmall) {
  Loaded mesh;
  Load(10'000, mesh);
}

TEST(StateScale, AHundredThousandWorkloadsAreSmallAndOneChangesCheaply) {
  Loaded mesh;
  Load(kWorkloads, mesh);
  auto start = Clock::now();
  constexpr int kChanges = 1000;
  for (int i = 0; i < kChanges; ++i) {
    auto pod = Pod(i * 97, kWorkloads / 10);
    pod.mutable_workload()->set_canonical_revision("v2");
    ASSERT_TRUE(mesh.store.UpsertAddress("", pod).ok());
    mesh.state = mesh.store.Publish();
  }
  const double change = Seconds(start) / kChanges;
  EXPECT_EQ(mesh.state->FindWorkload("", IpAddress::V4(0x0a000000u + 97))->canonical_revision,
            "v2");
  EXPECT_EQ(mesh.state->FindWorkload("", IpAddress::V4(0x0a000000u + 98))->canonical_revision,
            "v1");

  start = Clock::now();
  for (int i = 0; i < kWorkloads; ++i) {
    ASSERT_NE(mesh.state->FindWorkload("", IpAddress::V4(0x0a000000u + static_cast<uint32_t>(i))),
              nullptr);
  }
  const double lookup = Seconds(start) / kWorkloads;
  std::printf("one change published in %.1f us, lookup %.0f ns\n", change * 1e6, lookup * 1e9);
}

// An old snapshot and a new one of the whole mesh are hardly more than one.
TEST(StateScale, SnapshotsShareWhatDidNotChange) {
  Loaded mesh;
  Load(10'000, mesh);
  const size_t before = mallinfo2().uordblks;
  std::vector<MeshStateRef> kept;
  for (int i = 0; i < 100; ++i) {
    auto pod = Pod(i, 1'000);
    pod.mutable_workload()->set_canonical_revision("v2");
    ASSERT_TRUE(mesh.store.UpsertAddress("", pod).ok());
    kept.push_back(mesh.store.Publish());
  }
  EXPECT_LE((mallinfo2().uordblks - before) / kept.size(), 32u << 10);
  EXPECT_EQ(kept.front()->FindWorkload("", IpAddress::V4(0x0a000063u))->canonical_revision, "v1");
  EXPECT_EQ(kept.back()->FindWorkload("", IpAddress::V4(0x0a000063u))->canonical_revision, "v2");
}

}  // namespace
}  // namespace mesh::state
