// A mesh of 100,000 workloads: loaded in seconds, and then one change costs microseconds.
#include <gtest/gtest.h>
#include <malloc.h>

#include <chrono>

#include "proto/workload.pb.h"
#include "ztunnel/core/state/mesh_state.h"

namespace mesh::state {
namespace {

constexpr int kWorkloads = 100'000;
constexpr int kServices = 10'000;
using Clock = std::chrono::steady_clock;

double Seconds(Clock::time_point since) {
  return std::chrono::duration<double>(Clock::now() - since).count();
}

std::string Host(int service) { return fmt::format("service-{}.shop.svc.cluster.local", service); }

istio::workload::Address Pod(int i) {
  istio::workload::Address out;
  auto& w = *out.mutable_workload();
  w.set_name(fmt::format("service-{}-7d5bf8c6d9-{:05}", i % kServices, i));
  w.set_uid("Kubernetes//Pod/shop/" + w.name());
  w.set_namespace_("shop");
  w.add_addresses(IpAddress::V4(0x0a000000u + static_cast<uint32_t>(i)).ToBytes());
  w.set_service_account(fmt::format("service-{}", i % kServices));
  w.set_node(fmt::format("node-{}", i % 1000));
  w.set_canonical_name(w.service_account());
  w.set_canonical_revision("v1");
  w.set_workload_name(w.service_account());
  w.set_workload_type(istio::workload::POD);
  w.set_tunnel_protocol(istio::workload::HBONE);
  auto* port = (*w.mutable_services())["shop/" + Host(i % kServices)].add_ports();
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

TEST(StateScale, LoadsAHundredThousandWorkloadsAndChangesOneCheaply) {
  StateStore store;
  const size_t before = mallinfo2().uordblks;
  auto start = Clock::now();
  for (int i = 0; i < kServices; ++i) ASSERT_TRUE(store.UpsertAddress("", Svc(i)).ok());
  for (int i = 0; i < kWorkloads; ++i) ASSERT_TRUE(store.UpsertAddress("", Pod(i)).ok());
  MeshStateRef state = store.Publish();
  const double load = Seconds(start);
  const size_t bytes = mallinfo2().uordblks - before;
  EXPECT_EQ(state->Endpoints(*state->FindService("shop", Host(0))).size(), 10u);

  start = Clock::now();
  constexpr int kChanges = 1000;
  for (int i = 0; i < kChanges; ++i) {
    auto pod = Pod(i * 97);
    pod.mutable_workload()->set_canonical_revision("v2");
    ASSERT_TRUE(store.UpsertAddress("", pod).ok());
    state = store.Publish();
  }
  const double change = Seconds(start) / kChanges;

  start = Clock::now();
  for (int i = 0; i < kWorkloads; ++i) {
    ASSERT_NE(state->FindWorkload("", IpAddress::V4(0x0a000000u + static_cast<uint32_t>(i))),
              nullptr);
  }
  const double lookup = Seconds(start) / kWorkloads;
  std::printf(
      "load %.2f s, %zu bytes a workload, one change published in %.1f us, lookup %.0f ns\n", load,
      bytes / kWorkloads, change * 1e6, lookup * 1e9);
  EXPECT_LT(load, 30);
  EXPECT_LT(change, 0.005);
}

}  // namespace
}  // namespace mesh::state
