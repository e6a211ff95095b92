// What a change costs, by the number of objects that are compiled again, in a mesh of 100,000 pods
// and 10,000 services; and who is told.
#include "agent/controller/model/compiler.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace mesh::controller {
namespace {

constexpr int kNamespaces = 1000;
constexpr int kServices = 10;  // of a namespace
constexpr int kPods = 10;      // of a service

k8s::Event PodEvent(int ns, int service, int pod, bool ready = true) {
  auto object = std::make_shared<api::Pod>();
  object->mutable_metadata()->set_name(fmt::format("p{}-{}", service, pod));
  object->mutable_metadata()->set_namespace_(fmt::format("ns{}", ns));
  (*object->mutable_metadata()->mutable_labels())["app"] = fmt::format("s{}", service);
  object->mutable_spec()->set_node_name(fmt::format("node{}", (ns + pod) % 100));
  object->mutable_status()->set_phase("Running");
  const int number = (ns * kServices + service) * kPods + pod;
  object->mutable_status()->set_pod_ip(
      fmt::format("10.{}.{}.{}", number >> 16, (number >> 8) & 255, number & 255));
  auto& condition = *object->mutable_status()->add_conditions();
  condition.set_type("Ready");
  condition.set_status(ready ? "True" : "False");
  return {false, k8s::MakeObject(k8s::Kind::kPod, std::move(object))};
}

k8s::Event ServiceEvent(int ns, int service, int port = 80) {
  auto object = std::make_shared<api::Service>();
  object->mutable_metadata()->set_name(fmt::format("s{}", service));
  object->mutable_metadata()->set_namespace_(fmt::format("ns{}", ns));
  (*object->mutable_spec()->mutable_selector())["app"] = fmt::format("s{}", service);
  object->mutable_spec()->add_ports()->set_port(port);
  return {false, k8s::MakeObject(k8s::Kind::kService, std::move(object))};
}

k8s::Event EntryEvent(const std::string& ns, const std::string& name, const std::string& host) {
  auto object = std::make_shared<api::ServiceEntry>();
  object->mutable_metadata()->set_name(name);
  object->mutable_metadata()->set_namespace_(ns);
  object->mutable_spec()->add_hosts(host);
  object->mutable_spec()->set_resolution(api::ServiceEntrySpec::DNS);
  return {false, k8s::MakeObject(k8s::Kind::kServiceEntry, std::move(object))};
}

class LargeMeshTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    std::vector<k8s::Event> events;
    for (int ns = 0; ns < kNamespaces; ++ns) {
      for (int service = 0; service < kServices; ++service) {
        events.push_back(ServiceEvent(ns, service));
        for (int pod = 0; pod < kPods; ++pod) events.push_back(PodEvent(ns, service, pod));
      }
    }
    compiler_ = new Compiler{Settings()};
    compiler_->Apply(events);
  }
  static void TearDownTestSuite() { delete compiler_; }

  struct Cost {
    uint64_t compiled;
    size_t told;
  };
  static Cost Apply(const k8s::Event& event) {
    const uint64_t before = compiler_->compiled();
    const size_t told = compiler_->Apply({event}).size();
    return {compiler_->compiled() - before, told};
  }

  static Compiler* compiler_;
};
Compiler* LargeMeshTest::compiler_ = nullptr;

TEST_F(LargeMeshTest, AChangedPodCostsItself) {
  const Cost cost = Apply(PodEvent(7, 3, 1, false));
  EXPECT_EQ(cost.compiled, 1u);
  EXPECT_EQ(cost.told, 1u);
}

TEST_F(LargeMeshTest, WhatIsWrittenAgainIsNotTold) {
  Apply(PodEvent(8, 3, 1));
  EXPECT_EQ(Apply(PodEvent(8, 3, 1)).told, 0u);
}

TEST_F(LargeMeshTest, AChangedServiceCostsItselfAndItsPods) {
  const Cost cost = Apply(ServiceEvent(9, 4, 81));
  EXPECT_EQ(cost.compiled, 1u + kPods);
  EXPECT_EQ(cost.told, 1u + kPods);
}

TEST_F(LargeMeshTest, AnEntryCostsTheEntriesOfItsHosts) {
  EXPECT_EQ(Apply(EntryEvent("ns1", "b", "api.example")).compiled, 1u);
  const Cost cost = Apply(EntryEvent("ns0", "a", "api.example"));
  EXPECT_EQ(cost.compiled, 2u);
  EXPECT_EQ(cost.told, 3u);  // its service and endpoint; the other is canonical no more
  k8s::Event gone = EntryEvent("ns0", "a", "api.example");
  gone.deleted = true;
  EXPECT_EQ(Apply(gone).told, 3u);
}

TEST(VipAllocator, KeepsWhatAStatusSaysAndGivesBack) {
  VipAllocator vips;
  const k8s::Key one{k8s::Kind::kServiceEntry, "a", "one"};
  const k8s::Key two{k8s::Kind::kServiceEntry, "a", "two"};
  api::ServiceEntryStatus status;
  status.add_addresses()->set_host("h");
  status.mutable_addresses(0)->set_value("240.240.0.9");
  EXPECT_EQ(vips.Allocate(one, {"h"}, status)["h"],
            (std::vector<std::string>{"240.240.0.9", "2001:2::9"}));
  EXPECT_EQ(vips.Allocate(two, {"h"}, status)["h"].front(), "240.240.0.10");  // taken
  vips.Release(one);
  EXPECT_EQ(vips.Allocate(one, {"h"}, {})["h"].front(), "240.240.0.11");
}

TEST(VipAllocator, RefusesWhenAllAreTaken) {
  VipAllocator vips;
  std::vector<std::string> hosts;
  for (int i = 0; i < 65'534; ++i) hosts.push_back(fmt::format("h{}", i));
  const k8s::Key key{k8s::Kind::kServiceEntry, "a", "all"};
  EXPECT_EQ(vips.Allocate(key, hosts, {}).size(), 65'534u);
  EXPECT_EQ(vips.Allocate({k8s::Kind::kServiceEntry, "a", "more"}, {"x"}, {}).size(), 0u);
  EXPECT_EQ(vips.refused(), 1u);
}

}  // namespace
}  // namespace mesh::controller
