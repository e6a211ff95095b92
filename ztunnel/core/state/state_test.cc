#include <gtest/gtest.h>

#include "proto/authorization.pb.h"
#include "proto/workload.pb.h"
#include "ztunnel/core/authz/policy.h"
#include "ztunnel/core/state/mesh_state.h"

namespace mesh::state {
namespace {

namespace pb = istio::workload;

IpAddress Ip(const char* text) { return *IpAddress::Parse(text); }

pb::Address Pod(const std::string& name, const char* ip = nullptr) {
  pb::Address out;
  pb::Workload& w = *out.mutable_workload();
  w.set_uid("Kubernetes//Pod/shop/" + name);
  w.set_name(name);
  w.set_namespace_("shop");
  w.set_service_account("sa-" + name);
  if (ip) w.add_addresses(Ip(ip).ToBytes());
  return out;
}

pb::Address WithService(pb::Address pod, const std::string& key, uint32_t target = 8080) {
  auto* port = (*pod.mutable_workload()->mutable_services())[key].add_ports();
  port->set_service_port(80);
  port->set_target_port(target);
  return pod;
}

pb::Address Svc(const std::string& ns, const std::string& host, const char* vip = nullptr) {
  pb::Address out;
  pb::Service& s = *out.mutable_service();
  s.set_name(host.substr(0, host.find('.')));
  s.set_namespace_(ns);
  s.set_hostname(host);
  if (vip) s.add_addresses()->set_address(Ip(vip).ToBytes());
  return out;
}

void AddCidr(pb::Address& service, const char* cidr) {
  const auto prefix = *IpPrefix::Parse(cidr);
  auto* address = service.mutable_service()->add_addresses();
  address->set_address(prefix.address.ToBytes());
  address->set_length(prefix.length);
}

class State : public ::testing::Test {
 protected:
  void Put(const pb::Address& a) {
    const absl::Status s = store_.UpsertAddress("", a);
    ASSERT_TRUE(s.ok()) << s;
  }
  std::vector<std::string> EndpointsOf(const MeshStateRef& state, const char* ns,
                                       const char* host) {
    std::vector<std::string> out;
    const ServiceRef service = state->FindService(ns, host);
    if (!service) return {"no such service"};
    for (const Endpoint& e : state->Endpoints(*service)) out.emplace_back(e.workload->name);
    return out;
  }
  using Names = std::vector<std::string>;
  StateStore store_;
};

TEST_F(State, FindsAWorkloadByEveryNameItHas) {
  pb::Address pod = Pod("a", "10.0.0.1");
  pod.mutable_workload()->add_addresses(Ip("fd00::1").ToBytes());
  pod.mutable_workload()->set_network("net1");
  Put(pod);
  const auto state = store_.Publish();
  const WorkloadRef w = state->FindWorkloadByUid("Kubernetes//Pod/shop/a");
  ASSERT_NE(w, nullptr);
  EXPECT_EQ(state->FindWorkload("net1", Ip("10.0.0.1")), w);
  EXPECT_EQ(state->FindWorkload("net1", Ip("fd00::1")), w);
  EXPECT_EQ(state->FindWorkload("", Ip("10.0.0.1")), nullptr);
  EXPECT_EQ(state->FindPod("Kubernetes", "shop", "a", "sa-a"), w);
  EXPECT_EQ(state->FindPod("Kubernetes", "shop", "a", "other"), nullptr);
  EXPECT_EQ(w->trust_domain, "cluster.local");
  EXPECT_EQ(w->cluster_id, "Kubernetes");
  EXPECT_EQ(w->capacity, 1u);
}

TEST_F(State, WhatHasAPodsNameIsNotThePod) {
  for (const char* uid :
       {"Kubernetes/networking.istio.io/ServiceEntry/shop/a/192.0.2.1",
        "Kubernetes/networking.istio.io/WorkloadEntry/shop/a", "west//Pod/shop/a"}) {
    pb::Address other = Pod("a", "192.0.2.1");
    other.mutable_workload()->set_uid(uid);
    Put(other);
  }
  EXPECT_EQ(store_.Publish()->FindPod("Kubernetes", "shop", "a", "sa-a"), nullptr);
  Put(Pod("a", "10.0.0.1"));
  const WorkloadRef pod = store_.Publish()->FindPod("Kubernetes", "shop", "a", "sa-a");
  ASSERT_NE(pod, nullptr);
  EXPECT_EQ(pod->uid, "Kubernetes//Pod/shop/a");
}

TEST_F(State, EndpointMayArriveBeforeItsService) {
  Put(WithService(Pod("a", "10.0.0.1"), "shop/web.shop"));
  auto state = store_.Publish();
  ASSERT_EQ(state->StagedEndpoints().size(), 1u);
  EXPECT_EQ(state->StagedEndpoints()[0].first, "shop/web.shop");
  Put(Svc("shop", "web.shop", "10.96.0.1"));
  state = store_.Publish();
  EXPECT_TRUE(state->StagedEndpoints().empty());
  EXPECT_EQ(EndpointsOf(state, "shop", "web.shop"), Names{"a"});
  EXPECT_EQ(state->Endpoints(*state->FindService("shop", "web.shop"))[0].ports().find(80)->second,
            8080);
  store_.RemoveAddress("shop/web.shop");
  state = store_.Publish();
  EXPECT_EQ(state->StagedEndpoints().size(), 1u);
  store_.RemoveAddress("Kubernetes//Pod/shop/a");
  EXPECT_TRUE(store_.Publish()->StagedEndpoints().empty());
}

TEST_F(State, UnhealthyEndpointsAreHeldBackUnlessTheServiceTakesAll) {
  Put(Svc("shop", "web.shop"));
  Put(WithService(Pod("a"), "shop/web.shop"));
  pb::Address sick = WithService(Pod("b"), "shop/web.shop");
  sick.mutable_workload()->set_status(pb::UNHEALTHY);
  Put(sick);
  EXPECT_EQ(EndpointsOf(store_.Publish(), "shop", "web.shop"), Names{"a"});
  pb::Address all = Svc("shop", "web.shop");
  all.mutable_service()->mutable_load_balancing()->set_health_policy(pb::LoadBalancing::ALLOW_ALL);
  Put(all);
  EXPECT_EQ(EndpointsOf(store_.Publish(), "shop", "web.shop"), (Names{"a", "b"}));
  Put(Svc("shop", "web.shop"));
  EXPECT_EQ(EndpointsOf(store_.Publish(), "shop", "web.shop"), Names{"a"});
  Put(WithService(Pod("b"), "shop/web.shop"));  // well again
  EXPECT_EQ(EndpointsOf(store_.Publish(), "shop", "web.shop"), (Names{"a", "b"}));
}

TEST_F(State, AnUpdateReplacesEveryIndexOfTheOldVersion) {
  Put(Svc("shop", "web.shop"));
  Put(WithService(Pod("a", "10.0.0.1"), "shop/web.shop"));
  const auto before = store_.Publish();
  Put(Pod("a", "10.0.0.2"));
  const auto after = store_.Publish();
  EXPECT_EQ(after->FindWorkload("", Ip("10.0.0.1")), nullptr);
  EXPECT_NE(after->FindWorkload("", Ip("10.0.0.2")), nullptr);
  EXPECT_TRUE(EndpointsOf(after, "shop", "web.shop").empty());
  // A connection keeps the snapshot it began with.
  EXPECT_NE(before->FindWorkload("", Ip("10.0.0.1")), nullptr);
  EXPECT_EQ(EndpointsOf(before, "shop", "web.shop"), Names{"a"});
  EXPECT_GT(after->generation(), before->generation());
}

TEST_F(State, APodWinsAnAddressThatOthersClaimToo) {
  pb::Address entry;
  entry.mutable_workload()->set_uid("Kubernetes/networking.istio.io/WorkloadEntry/shop/e");
  entry.mutable_workload()->add_addresses(Ip("10.0.0.1").ToBytes());
  entry.mutable_workload()->set_tunnel_protocol(pb::HBONE);
  const auto winner = [&] { return store_.Publish()->FindWorkload("", Ip("10.0.0.1"))->uid; };
  Put(Pod("a", "10.0.0.1"));
  Put(entry);
  EXPECT_EQ(winner(), "Kubernetes//Pod/shop/a");
  pb::Address hbone = Pod("b", "10.0.0.1");
  hbone.mutable_workload()->set_tunnel_protocol(pb::HBONE);
  Put(hbone);
  EXPECT_EQ(winner(), "Kubernetes//Pod/shop/b");
  Put(Pod("a", "10.0.0.1"));
  EXPECT_EQ(winner(), "Kubernetes//Pod/shop/b");
  store_.RemoveAddress("Kubernetes//Pod/shop/b");
  EXPECT_EQ(winner(), "Kubernetes//Pod/shop/a");
  store_.RemoveAddress("Kubernetes//Pod/shop/a");
  EXPECT_EQ(winner(), "Kubernetes/networking.istio.io/WorkloadEntry/shop/e");
}

TEST_F(State, HostNetworkWorkloadsAreNotFoundByAddress) {
  pb::Address host = WithService(Pod("h", "10.0.0.1"), "shop/web.shop");
  host.mutable_workload()->set_network_mode(pb::HOST_NETWORK);
  Put(host);
  Put(Svc("shop", "web.shop"));
  const auto state = store_.Publish();
  EXPECT_EQ(state->FindWorkload("", Ip("10.0.0.1")), nullptr);
  EXPECT_EQ(EndpointsOf(state, "shop", "web.shop"), Names{"h"});
}

TEST_F(State, VipOfSeveralServicesPrefersTheClientsNamespaceThenCanonical) {
  Put(Svc("a", "one.example", "10.96.0.1"));
  pb::Address canonical = Svc("b", "two.example", "10.96.0.1");
  canonical.mutable_service()->set_canonical(true);
  Put(canonical);
  pb::Address secret = Svc("c", "three.example", "10.96.0.1");
  secret.mutable_service()->set_visibility(pb::Service::NAMESPACE);
  Put(secret);
  const auto state = store_.Publish();
  const auto pick = [&](const char* ns) {
    return state->FindServiceByVip("", Ip("10.96.0.1"), ns)->ns;
  };
  EXPECT_EQ(pick("a"), "a");
  EXPECT_EQ(pick("b"), "b");
  EXPECT_EQ(pick("c"), "c");
  EXPECT_EQ(pick("elsewhere"), "b");
  store_.RemoveAddress("b/two.example");
  EXPECT_EQ(store_.Publish()->FindServiceByVip("", Ip("10.96.0.1"), "elsewhere")->ns, "a");
}

TEST_F(State, CidrVipsComeAfterExactOnesAndByLength) {
  pb::Address wide = Svc("a", "wide.example");
  AddCidr(wide, "10.0.0.0/8");
  Put(wide);
  pb::Address narrow = Svc("b", "narrow.example");
  AddCidr(narrow, "10.1.77.0/16");
  Put(narrow);
  Put(Svc("c", "exact.example", "10.1.1.1"));
  const auto state = store_.Publish();
  const auto pick = [&](const char* ip, const char* ns) {
    const ServiceRef s = state->FindServiceByVip("", Ip(ip), ns);
    return s ? s->ns : "none";
  };
  EXPECT_EQ(pick("10.1.1.1", "a"), "c");
  EXPECT_EQ(pick("10.1.1.2", "x"), "b");
  EXPECT_EQ(pick("10.1.1.2", "a"), "a");
  EXPECT_EQ(pick("10.2.1.2", "x"), "a");
  EXPECT_EQ(pick("11.2.1.2", "x"), "none");
  store_.RemoveAddress("b/narrow.example");
  EXPECT_EQ(store_.Publish()->FindServiceByVip("", Ip("10.1.1.2"), "x")->ns, "a");
}

TEST_F(State, HostnamesFindServicesThenWorkloads) {
  Put(Svc("a", "web.example"));
  Put(Svc("b", "web.example"));
  pb::Address named = Pod("vm");
  named.mutable_workload()->set_hostname("vm.example");
  Put(named);
  const auto state = store_.Publish();
  EXPECT_EQ(state->FindServiceByHostname("web.example", "b")->ns, "b");
  EXPECT_EQ(state->FindServiceByHostname("web.example", "x", "b")->ns, "b");
  EXPECT_EQ(state->FindServiceByHostname("web.example", "x")->ns, "a");
  EXPECT_EQ(state->FindServiceByHostname("none.example", "x"), nullptr);
  EXPECT_TRUE(std::holds_alternative<ServiceRef>(state->FindByHostname({"a", "web.example"})));
  EXPECT_TRUE(std::holds_alternative<WorkloadRef>(state->FindByHostname({"shop", "vm.example"})));
  EXPECT_TRUE(std::holds_alternative<std::monostate>(state->FindByHostname({"a", "vm.example"})));
}

TEST_F(State, AddressLooksUpWorkloadsBeforeServices) {
  Put(Svc("a", "web.example", "10.0.0.1"));
  EXPECT_TRUE(
      std::holds_alternative<ServiceRef>(store_.Publish()->FindByAddress("", Ip("10.0.0.1"))));
  Put(Pod("p", "10.0.0.1"));
  EXPECT_TRUE(
      std::holds_alternative<WorkloadRef>(store_.Publish()->FindByAddress("", Ip("10.0.0.1"))));
}

TEST_F(State, PoliciesAreThoseOfTheNamespaceOfTheMeshAndThoseListed) {
  const auto add = [&](const char* ns, const char* name, istio::security::Scope scope) {
    istio::security::Authorization a;
    a.set_name(name);
    a.set_namespace_(ns);
    a.set_scope(scope);
    ASSERT_TRUE(store_.UpsertPolicy(std::string(ns) + "/" + name, a).ok());
  };
  add("shop", "of-namespace", istio::security::NAMESPACE);
  add("other", "of-other", istio::security::NAMESPACE);
  add("root", "of-mesh", istio::security::GLOBAL);
  add("root", "listed", istio::security::WORKLOAD_SELECTOR);
  add("root", "unlisted", istio::security::WORKLOAD_SELECTOR);
  pb::Address pod = Pod("a");
  pod.mutable_workload()->add_authorization_policies("root/listed");
  pod.mutable_workload()->add_authorization_policies("root/on-its-way");
  Put(pod);
  const auto names = [&] {
    const auto state = store_.Publish();
    Names out;
    for (const auto& p : state->PoliciesFor(*state->FindWorkloadByUid("Kubernetes//Pod/shop/a"))) {
      out.push_back(authz::KeyOf(*p));
    }
    return out;
  };
  EXPECT_EQ(names(), (Names{"shop/of-namespace", "root/of-mesh", "root/listed"}));
  add("shop", "of-namespace", istio::security::WORKLOAD_SELECTOR);  // moved out of the namespace
  store_.RemovePolicy("root/of-mesh");
  store_.RemovePolicy("root/never-was");
  EXPECT_EQ(names(), (Names{"root/listed"}));
  EXPECT_EQ(store_.Publish()->Policies().size(), 4u);
}

TEST_F(State, RefusesABadResourceAloneAndKeepsTheVersionBefore) {
  Put(Pod("a", "10.0.0.1"));
  const auto refuse = [&](auto edit, const char* field) {
    pb::Address bad = Pod("a", "10.0.0.9");
    edit(*bad.mutable_workload());
    const absl::Status s = store_.UpsertAddress("", bad);
    EXPECT_EQ(s.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(s.ToString().find(field), std::string::npos) << s;
  };
  refuse([](auto& w) { w.add_addresses("abc"); }, "addresses");
  refuse([](auto& w) { w.clear_uid(); }, "uid");
  refuse([](auto& w) { w.set_tunnel_protocol(pb::LEGACY_ISTIO_MTLS); }, "LEGACY_ISTIO_MTLS");
  refuse([](auto& w) { w.set_tunnel_protocol(static_cast<pb::TunnelProtocol>(7)); },
         "tunnel_protocol");
  refuse([](auto& w) { w.set_status(static_cast<pb::WorkloadStatus>(7)); }, "status");
  refuse([](auto& w) { (*w.mutable_services())["nohost"]; }, "nohost");
  refuse([](auto& w) { w.mutable_waypoint(); }, "waypoint.destination");
  refuse([](auto& w) { w.mutable_application_tunnel()->set_port(70000); },
         "application_tunnel.port");
  EXPECT_NE(store_.Publish()->FindWorkload("", Ip("10.0.0.1")), nullptr);

  pb::Address service = Svc("shop", "web.shop");
  service.mutable_service()->mutable_load_balancing()->add_routing_preference(
      pb::LoadBalancing::UNSPECIFIED_SCOPE);
  EXPECT_FALSE(store_.UpsertAddress("", service).ok());
  EXPECT_FALSE(store_.UpsertAddress("", pb::Address()).ok());
  EXPECT_FALSE(store_.UpsertAddress("", Svc("shop/west", "web.shop")).ok());
  EXPECT_FALSE(store_.UpsertAddress("another/name", Svc("shop", "web.shop")).ok());
}

TEST_F(State, RemovalTellsWorkloadsFromServicesByName) {
  Put(Pod("a", "10.0.0.1"));
  Put(Svc("shop", "web.shop", "10.96.0.1"));
  store_.RemoveAddress("nothing");
  store_.RemoveAddress("/10.0.0.1");
  store_.RemoveAddress("shop/web.shop/80");
  const auto kept = store_.Publish();
  EXPECT_EQ(kept->Workloads().size() + kept->Services().size(), 2u);
  store_.RemoveAddress("Kubernetes//Pod/shop/a");
  store_.RemoveAddress("shop/web.shop");
  const auto state = store_.Publish();
  EXPECT_EQ(state->Workloads().size() + state->Services().size(), 0u);
  EXPECT_EQ(state->FindServiceByVip("", Ip("10.96.0.1"), ""), nullptr);
}

TEST_F(State, PublishWithoutAChangeGivesTheSameSnapshot) {
  Put(Pod("a"));
  const auto state = store_.Publish();
  EXPECT_EQ(store_.Publish(), state);
}

}  // namespace
}  // namespace mesh::state
