#include "ztunnel/core/xds/local_state.h"

#include <gtest/gtest.h>

#include "proto/authorization.pb.h"
#include "ztunnel/base/status.h"
#include "ztunnel/core/authz/policy.h"

namespace mesh::xds {
namespace {

constexpr char kText[] = R"(
workloads:
- name: a
  namespace: default
  serviceAccount: sa
  workloadIps: ["10.0.0.1", "fd00::1"]
  protocol: HBONE
  node: here
  waypoint: {destination: net/10.0.0.9, hboneMtlsPort: 15008}
  services:
    default/a.default: {"80": 8080}
  authorizationPolicies: [default/p]
  status: Unhealthy
- name: outside
  namespace: default
  uid: a-uid
  hostname: a.example
  networkMode: HostNetwork
services:
- name: a
  namespace: default
  hostname: a.default
  vips: ["net/172.30.0.1", "/172.30.0.2"]
  cidrVips: [{network: net, cidr: 172.31.0.0/24}]
  ports: {"80": 8080}
  endpoints: {whatever: {}}
  waypoint: {destination: default/w.default, hboneMtlsPort: 15008}
  loadBalancer: {routingPreferences: [Region, Zone], mode: Failover, healthPolicy: AllowAll}
policies:
- name: p
  namespace: default
  scope: WorkloadSelector
  action: Deny
  rules:
  - - - principals: [{Prefix: td/ns/bad}]
        notSourceIps: [10.0.0.0/8]
        destinationPorts: [80]
      - namespaces: [{Exact: n}, {Presence: []}]
    - - notDestinationPorts: [81]
)";

absl::Status Load(std::string_view text, state::StateStore& store) {
  return LoadLocalState(text, "cluster", store);
}

TEST(LocalState, WorkloadsAndServicesAreWhatTheTextSays) {
  state::StateStore store;
  ASSERT_TRUE(Load(kText, store).ok()) << Load(kText, store);
  const state::MeshStateRef mesh = store.Publish();
  const state::WorkloadRef a = mesh->FindPod("cluster", "default", "a", "sa");
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(a->addresses.size(), 2u);
  EXPECT_EQ(a->protocol, state::Protocol::kHbone);
  EXPECT_EQ(a->waypoint->DestinationString(), "net/10.0.0.9");
  EXPECT_EQ(a->status, state::Health::kUnhealthy);
  EXPECT_EQ(a->cluster_id.view(), "cluster");
  const state::WorkloadRef outside = mesh->FindWorkloadByUid("a-uid");
  ASSERT_NE(outside, nullptr);
  EXPECT_TRUE(outside->host_network);
  EXPECT_EQ(outside->protocol, state::Protocol::kTcp);

  const state::ServiceRef service = mesh->FindService("default", "a.default");
  ASSERT_NE(service, nullptr);
  EXPECT_EQ(service->vips.size(), 2u);
  ASSERT_EQ(service->cidr_vips.size(), 1u);
  EXPECT_EQ(service->cidr_vips[0].prefix.ToString(), "172.31.0.0/24");
  EXPECT_EQ(service->waypoint->DestinationString(), "default/w.default");
  EXPECT_EQ(service->lb_mode, state::LbMode::kFailover);
  EXPECT_TRUE(service->allow_unhealthy);
  ASSERT_EQ(mesh->Endpoints(*service).size(), 1u);
  EXPECT_EQ(mesh->Endpoints(*service)[0].workload, a);
}

TEST(LocalState, APolicyIsWhatTheTextSays) {
  state::StateStore store;
  ASSERT_TRUE(Load(kText, store).ok());
  const state::MeshStateRef mesh = store.Publish();
  const auto policies = mesh->PoliciesFor(*mesh->FindPod("cluster", "default", "a", "sa"));
  ASSERT_EQ(policies.size(), 1u);
  const istio::security::Authorization& source = authz::SourceOf(*policies[0]);
  EXPECT_EQ(source.action(), istio::security::DENY);
  ASSERT_EQ(source.groups_size(), 1);
  ASSERT_EQ(source.groups(0).rules_size(), 2);
  ASSERT_EQ(source.groups(0).rules(0).matches_size(), 2);
  const auto& match = source.groups(0).rules(0).matches(0);
  EXPECT_EQ(match.principals(0).prefix(), "td/ns/bad");
  EXPECT_EQ(match.not_source_ips(0).length(), 8u);
  EXPECT_EQ(match.destination_ports(0), 80u);
  EXPECT_TRUE(source.groups(0).rules(0).matches(1).namespaces(1).has_presence());
  EXPECT_EQ(source.groups(0).rules(1).matches(0).not_destination_ports(0), 81u);
}

TEST(LocalState, NothingIsAnEmptyState) {
  for (const char* text : {"", "{}", "workloads: []", "# only words"}) {
    state::StateStore store;
    EXPECT_TRUE(Load(text, store).ok()) << text;
  }
}

TEST(LocalState, WhatIsNotUnderstoodIsNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {"[]", "is no object"},
      {"workload: []", "workload: is not known"},
      {"workloads: {}", "workloads: is no list"},
      {"workloads: [{name: a, namespace: n, colour: red}]", "workloads[0].colour: is not known"},
      {"workloads: [{name: a, namespace: n, protocol: UDP}]",
       "workloads[0].protocol: \"UDP\" is not one of its words"},
      {"workloads: [{name: a, namespace: n, workloadIps: [x]}]",
       "workloads[0].workloadIps[0]: \"x\" is no address"},
      {"workloads: [{name: a, namespace: n, services: [n/a]}]",
       "workloads[0].services: is no object"},
      {"workloads: [{name: a, namespace: n, services: {n/a: {http: 80}}}]",
       "workloads[0].services.n/a: \"http\" is no port"},
      {"services: [{name: a, namespace: n, hostname: a.n, vips: [net]}]",
       "services[0].vips[0]: \"net\" is no network/address"},
      {"policies: [{name: a, namespace: n, action: Allow}]", "policies[0].scope: is missing"},
      {"policies: [{name: a, namespace: n, scope: Global, action: Deny, rules: [[[{ports: "
       "[1]}]]]}]",
       "policies[0].rules[0].ports: is not known"},
      {"policies: [{name: a, namespace: n, scope: Global, action: Allow, rules: [[[{namespaces: "
       "[{Presence: null}]}]]]}]",
       "policies[0].rules[0].namespaces[0]: is no match"},
      {"policies: [{name: a, namespace: n, scope: Global, action: Deny, rules: [[{}]]}]",
       "policies[0].rules[0]: is no list"},
      {"a: 1\n---\nb: 2", "more than one document"},
  };
  for (const auto& [text, error] : cases) {
    state::StateStore store;
    const std::string says(MessageOf(Load(text, store)));
    EXPECT_NE(says.find(error), std::string::npos) << text << "\n" << says;
  }
}

}  // namespace
}  // namespace mesh::xds
