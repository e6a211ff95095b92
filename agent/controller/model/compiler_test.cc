// What a change costs, by the number of objects that are compiled again, in a mesh of 100,000 pods
// and 10,000 services; and who is told.
#include "agent/controller/model/compiler.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "proto/workload.pb.h"

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

k8s::Event GatewayEvent(const std::string& ns, const std::string& name, const std::string& address,
                        const std::string& network = "") {
  auto object = std::make_shared<api::Gateway>();
  object->mutable_metadata()->set_name(name);
  object->mutable_metadata()->set_namespace_(ns);
  object->mutable_spec()->set_gateway_class_name(network.empty() ? "istio-waypoint"
                                                                 : "istio-remote");
  if (!network.empty()) {
    (*object->mutable_metadata()->mutable_labels())["topology.istio.io/network"] = network;
  }
  auto& listener = *object->mutable_spec()->add_listeners();
  listener.set_protocol("HBONE");
  listener.set_port(15008);
  listener.mutable_allowed_routes()->mutable_namespaces()->set_from("All");
  object->mutable_status()->add_addresses()->set_value(address);
  return {false, k8s::MakeObject(k8s::Kind::kGateway, std::move(object))};
}

k8s::Event PolicyEvent(const std::string& ns, const std::string& app) {
  auto object = std::make_shared<api::AuthorizationPolicy>();
  object->mutable_metadata()->set_name("policy");
  object->mutable_metadata()->set_namespace_(ns);
  (*object->mutable_spec()->mutable_selector()->mutable_match_labels())["app"] = app;
  return {false, k8s::MakeObject(k8s::Kind::kAuthorizationPolicy, std::move(object))};
}

// The labels and network of an entry's endpoint or of itself, changed after it was made.
template <typename F>
k8s::Event With(const k8s::Event& event, F change) {
  auto object = std::make_shared<api::ServiceEntry>(*event.object.As<api::ServiceEntry>());
  change(*object);
  return {false, k8s::MakeObject(k8s::Kind::kServiceEntry, std::move(object))};
}

TEST_F(LargeMeshTest, APolicyCostsItselfAndWhatItSelectsOrSelected) {
  Cost cost = Apply(PolicyEvent("ns20", "s1"));
  EXPECT_EQ(cost.compiled, 1u + kPods);
  EXPECT_EQ(cost.told, 1u + kPods);
  cost = Apply(PolicyEvent("ns20", "s2"));
  EXPECT_EQ(cost.compiled, 1u + 2 * kPods);
  EXPECT_EQ(cost.told, 2u * kPods) << "the policy says the same, of others";
}

// 10,000 entries of which one has to do with each gateway.
TEST(ManyEntries, AGatewayCostsThoseWhoUseIt) {
  Compiler compiler{Settings()};
  std::vector<k8s::Event> events;
  for (int i = 0; i < 10'000; ++i) {
    events.push_back(EntryEvent("shop", fmt::format("e{}", i), fmt::format("h{}.example", i)));
  }
  const auto wish = [](k8s::Labels& labels) { labels["istio.io/use-waypoint"] = "way"; };
  events[7] = With(events[7], [&](api::ServiceEntry& entry) {
    wish(*entry.mutable_metadata()->mutable_labels());
  });
  events[8] = With(events[8], [&](api::ServiceEntry& entry) {
    entry.mutable_spec()->add_endpoints()->set_address("10.1.1.1");
    wish(*entry.mutable_spec()->mutable_endpoints(0)->mutable_labels());
  });
  events[9] = With(events[9], [&](api::ServiceEntry& entry) {
    entry.mutable_spec()->add_endpoints()->set_address("10.1.1.2");
    entry.mutable_spec()->mutable_endpoints(0)->set_network("far");
  });
  compiler.Apply(events);
  const auto cost = [&compiler](const k8s::Event& event) {
    const uint64_t before = compiler.compiled();
    compiler.Apply({event});
    return compiler.compiled() - before;
  };
  EXPECT_EQ(cost(GatewayEvent("shop", "way", "10.0.0.1")), 1u + 2) << "itself, 7 and 8";
  EXPECT_EQ(cost(GatewayEvent("shop", "other", "10.0.0.2")), 1u);
  EXPECT_EQ(cost(GatewayEvent("shop", "east", "192.0.2.1", "far")), 1u + 1) << "itself and 9";
  k8s::Event moved = GatewayEvent("shop", "east", "192.0.2.1", "elsewhere");
  EXPECT_EQ(cost(moved), 1u + 1) << "9 is without a gateway again";
  EXPECT_EQ(cost(EntryEvent("shop", "e500", "h500.example")), 1u);
}

k8s::Event SliceEvent(const std::string& name, const std::vector<std::string>& pods, int port) {
  auto object = std::make_shared<api::EndpointSlice>();
  object->mutable_metadata()->set_name(name);
  object->mutable_metadata()->set_namespace_("ns0");
  (*object->mutable_metadata()->mutable_labels())[k8s::kServiceNameLabel] = "by-hand";
  object->add_ports()->set_port(port);
  for (const std::string& pod : pods) {
    auto& endpoint = *object->add_endpoints();
    endpoint.add_addresses("10.0.0.9");
    endpoint.mutable_target_ref()->set_kind("Pod");
    endpoint.mutable_target_ref()->set_name(pod);
  }
  return {false, k8s::MakeObject(k8s::Kind::kEndpointSlice, std::move(object))};
}

// The ports of ns0's pod for the service without a selector, "80->8080".
std::string PortsByHand(const Compiler& compiler, const std::string& pod) {
  istio::workload::Address address;
  const auto found = compiler.resources(ResourceType::kAddress).find("Kubernetes//Pod/ns0/" + pod);
  if (found == compiler.resources(ResourceType::kAddress).end() ||
      !address.ParseFromString(found->second->body)) {
    return "no such pod";
  }
  const auto& services = address.workload().services();
  const auto service = services.find("ns0/by-hand.ns0.svc.cluster.local");
  std::string text;
  if (service == services.end()) return text;
  for (const auto& port : service->second.ports()) {
    text += fmt::format("{}->{} ", port.service_port(), port.target_port());
  }
  return text;
}

TEST(SlicesByHand, PodsThatTheyNameServeTheService) {
  Compiler compiler{Settings()};
  k8s::Event service = ServiceEvent(0, 0);
  auto object = std::make_shared<api::Service>(*service.object.As<api::Service>());
  object->mutable_metadata()->set_name("by-hand");
  object->mutable_spec()->clear_selector();
  service.object = k8s::MakeObject(k8s::Kind::kService, object);
  // The slice first: pod and service come when they come.
  compiler.Apply({SliceEvent("one", {"p0-0", "p9-9"}, 8080)});
  compiler.Apply({PodEvent(0, 0, 0), PodEvent(0, 0, 1)});
  EXPECT_EQ(PortsByHand(compiler, "p0-0"), "");
  EXPECT_EQ(compiler.Apply({service}).size(), 2u) << "the service and the pod that is named";
  EXPECT_EQ(PortsByHand(compiler, "p0-0"), "80->8080 ");
  EXPECT_EQ(PortsByHand(compiler, "p0-1"), "");
  compiler.Apply({SliceEvent("one", {"p0-1"}, 9090)});
  EXPECT_EQ(PortsByHand(compiler, "p0-0"), "");
  EXPECT_EQ(PortsByHand(compiler, "p0-1"), "80->9090 ");
  // With a selector the pods are those that it selects.
  compiler.Apply({[&] {
    auto selecting = std::make_shared<api::Service>(*object);
    (*selecting->mutable_spec()->mutable_selector())["app"] = "nobody";
    return k8s::Event{false, k8s::MakeObject(k8s::Kind::kService, selecting)};
  }()});
  EXPECT_EQ(PortsByHand(compiler, "p0-1"), "");
  compiler.Apply({service});
  EXPECT_EQ(PortsByHand(compiler, "p0-1"), "80->9090 ");
  k8s::Event gone = SliceEvent("one", {"p0-1"}, 9090);
  gone.deleted = true;
  compiler.Apply({gone});
  EXPECT_EQ(PortsByHand(compiler, "p0-1"), "");
}

TEST(WorkloadGroups, SayThatNobodyRegisters) {
  Compiler compiler{Settings()};
  auto group = std::make_shared<api::WorkloadGroup>();
  group->mutable_metadata()->set_name("vms");
  group->mutable_metadata()->set_namespace_("shop");
  k8s::Event event{false, k8s::MakeObject(k8s::Kind::kWorkloadGroup, group)};
  EXPECT_TRUE(compiler.Apply({event}).empty());
  const auto said = compiler.TakeStatuses();
  ASSERT_EQ(said.size(), 1u);
  EXPECT_EQ(said.begin()->second.conditions.at(0).reason(), "NotServed");
  event.deleted = true;
  compiler.Apply({event});
  EXPECT_TRUE(compiler.TakeStatuses().begin()->second.empty());
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
