#include "ztunnel/dns/resolver.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "proto/workload.pb.h"
#include "ztunnel/base/dns/message.h"
#include "ztunnel/core/telemetry/registry.h"
#include "ztunnel/dns/pod_resolver.h"

namespace mesh::dns {
namespace {

namespace pb = istio::workload;

IpAddress Ip(const char* text) { return *IpAddress::Parse(text); }

class Names : public ::testing::Test {
 protected:
  void SetUp() override {
    Pod("client", "shop", {"10.0.0.1", "fd00::1"});
    Pod("elsewhere", "other", {"10.0.0.2"});
    Service("shop", "reviews.shop.svc.cluster.local", {"10.96.0.1", "fd00:96::1"});
    Service("shop", "v4only.shop.svc.cluster.local", {"10.96.0.2"});
    Service("other", "api.other.svc.cluster.local", {"10.96.0.3"});
    Service("shop", "*.wild.example.com", {"10.96.0.4"});
    Service("shop", "exact.wild.example.com", {"10.96.0.5"});
    Service("shop", "external.example.com", {});
    Service("shop", "www.example.com", {"10.96.0.6"});
    Service("shop", "web.shop.svc.cluster.local", {});  // headless
    Pod("web-0", "shop", {"10.0.1.1", "fd00:1::1"}, "shop/web.shop.svc.cluster.local");
    Pod("web-1", "shop", {"10.0.1.2"}, "shop/web.shop.svc.cluster.local");
    Pod("web-2", "shop", {"10.0.1.3"}, "shop/web.shop.svc.cluster.local", /*healthy=*/false);
    Service("other", "secret.other.svc.cluster.local", {"10.96.0.7"}, /*is_private=*/true);
    mesh_ = store_.Publish();
    client_ = mesh_->FindPod("Kubernetes", "shop", "client", "default");
    ASSERT_NE(client_, nullptr);
  }

  void Pod(const std::string& name, const std::string& ns, std::vector<const char*> ips,
           const std::string& service = "", bool healthy = true) {
    pb::Address address;
    pb::Workload& w = *address.mutable_workload();
    w.set_uid("Kubernetes//Pod/" + ns + "/" + name);
    w.set_name(name);
    w.set_namespace_(ns);
    for (const char* ip : ips) w.add_addresses(Ip(ip).ToBytes());
    if (!service.empty()) (*w.mutable_services())[service].add_ports()->set_service_port(80);
    if (!healthy) w.set_status(pb::UNHEALTHY);
    ASSERT_TRUE(store_.UpsertAddress(w.uid(), address).ok());
  }
  void Service(const std::string& ns, const std::string& host, std::vector<const char*> vips,
               bool is_private = false) {
    pb::Address address;
    pb::Service& s = *address.mutable_service();
    s.set_name(host.substr(0, host.find('.')));
    s.set_namespace_(ns);
    s.set_hostname(host);
    s.add_ports()->set_service_port(80);
    for (const char* vip : vips) s.add_addresses()->set_address(Ip(vip).ToBytes());
    if (is_private) s.set_visibility(pb::Service::NAMESPACE);
    const absl::Status status = store_.UpsertAddress(ns + "/" + host, address);
    ASSERT_TRUE(status.ok()) << status;
  }

  // "forward", or "cname -> addresses".
  std::string Ask(std::string_view name, uint16_t type = kTypeA) {
    Resolution r = Resolve(*mesh_, *client_, name, type, config_);
    if (!r.known) return "forward";
    std::vector<std::string> ips;
    for (const auto& ip : r.addresses) ips.push_back(ip.ToString());
    std::sort(ips.begin(), ips.end());
    std::string out = r.cname.empty() ? "" : r.cname + " -> ";
    for (const auto& ip : ips) out += (ip == ips.front() ? "" : ",") + ip;
    return out;
  }

  state::StateStore store_;
  state::MeshStateRef mesh_;
  state::WorkloadRef client_;
  ResolverConfig config_;
};

TEST_F(Names, EveryNameThatAServiceHas) {
  EXPECT_EQ(Ask("reviews"), "10.96.0.1");
  EXPECT_EQ(Ask("reviews.shop"), "10.96.0.1");
  EXPECT_EQ(Ask("reviews.shop.svc"), "10.96.0.1");
  EXPECT_EQ(Ask("reviews.shop.svc.cluster.local"), "10.96.0.1");
  EXPECT_EQ(Ask("api.other"), "10.96.0.3");
  EXPECT_EQ(Ask("api"), "forward");  // of another namespace
}

TEST_F(Names, SearchDomainsAreTakenOffWithACname) {
  EXPECT_EQ(Ask("api.other.shop.svc.cluster.local"), "api.other.svc.cluster.local -> 10.96.0.3");
  EXPECT_EQ(Ask("reviews.shop.svc.cluster.local.cluster.local"),
            "reviews.shop.svc.cluster.local -> 10.96.0.1");
  EXPECT_EQ(Ask("www.example.com.shop.svc.cluster.local"), "www.example.com -> 10.96.0.6");
}

TEST_F(Names, WildcardsComeAfterExactNamesAndWithoutCname) {
  EXPECT_EQ(Ask("exact.wild.example.com"), "10.96.0.5");
  EXPECT_EQ(Ask("any.wild.example.com"), "10.96.0.4");
  EXPECT_EQ(Ask("a.b.wild.example.com"), "10.96.0.4");
  EXPECT_EQ(Ask("any.wild.example.com.shop.svc.cluster.local"), "10.96.0.4");
  EXPECT_EQ(Ask("wild.example.com"), "forward");
}

TEST_F(Names, TheOtherFamilyIsEmptyNotUnknown) {
  EXPECT_EQ(Ask("reviews", kTypeAaaa), "fd00:96::1");
  EXPECT_EQ(Ask("v4only", kTypeAaaa), "");
  config_.ipv6 = false;
  EXPECT_EQ(Ask("reviews", kTypeAaaa), "");
}

TEST_F(Names, HeadlessIsItsHealthyEndpoints) {
  EXPECT_EQ(Ask("web"), "10.0.1.1,10.0.1.2");
  EXPECT_EQ(Ask("web", kTypeAaaa), "fd00:1::1");
}

TEST_F(Names, PodsOfAStatefulSetHaveNames) {
  EXPECT_EQ(Ask("web-1.web.shop.svc.cluster.local"), "10.0.1.2");
  EXPECT_EQ(Ask("web-1.web"), "forward");  // the search list of the pod makes it whole
  EXPECT_EQ(Ask("web-9.web.shop.svc.cluster.local"), "forward");
  EXPECT_EQ(Ask("x.reviews.shop.svc.cluster.local"), "forward");  // not headless
}

TEST_F(Names, WhatMayNotBeSeenIsForwarded) {
  EXPECT_EQ(Ask("secret.other"), "forward");
  client_ = mesh_->FindPod("Kubernetes", "other", "elsewhere", "default");
  EXPECT_EQ(Ask("secret"), "10.96.0.7");
}

TEST_F(Names, UnknownAndAddresslessNamesAreForwarded) {
  EXPECT_EQ(Ask("nobody"), "forward");
  EXPECT_EQ(Ask("nobody.shop.svc.cluster.local"), "forward");
  EXPECT_EQ(Ask("example.org"), "forward");
  EXPECT_EQ(Ask("external.example.com"), "forward");
}

std::string Message(std::string_view name, uint16_t type, uint16_t qclass = kClassIn) {
  using namespace std::string_literals;
  std::string out = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"s;
  while (!name.empty()) {
    const size_t dot = std::min(name.find('.'), name.size());
    out.push_back(static_cast<char>(dot));
    out += name.substr(0, dot);
    name.remove_prefix(std::min(dot + 1, name.size()));
  }
  out.push_back('\0');
  for (const uint16_t v : {type, qclass}) {
    out.push_back(static_cast<char>(v >> 8));
    out.push_back(static_cast<char>(v));
  }
  return out;
}

TEST_F(Names, OneQueryDecided) {
  telemetry::MetricsRegistry registry;
  Metrics metrics(registry);
  const Client client{"uid", "client", "shop", "default"};
  const auto decide = [&](const std::string& message, const state::MeshState* mesh) {
    return Decide(std::as_bytes(std::span(message)), Transport::kUdp, mesh, client, config_,
                  metrics);
  };
  const Verdict answered = decide(Message("reviews", kTypeA), mesh_.get());
  ASSERT_FALSE(answered.reply.empty());
  EXPECT_EQ(static_cast<uint8_t>(answered.reply[2]), 0x85);  // answer, authoritative, as asked
  EXPECT_EQ(static_cast<uint8_t>(answered.reply[3]), 0x80);  // recursion available, no error
  EXPECT_EQ(answered.reply[7], 1);
  // Known, but not of that family: no error, no answer.
  const Verdict empty = decide(Message("v4only", kTypeAaaa), mesh_.get());
  ASSERT_FALSE(empty.reply.empty());
  EXPECT_EQ(empty.reply[3] & 0xf, 0);
  EXPECT_EQ(empty.reply[7], 0);
  // Other types and classes of a known name are not ours.
  EXPECT_TRUE(decide(Message("reviews", 16), mesh_.get()).reply.empty());
  EXPECT_TRUE(decide(Message("reviews", kTypeA, 3), mesh_.get()).reply.empty());
  // A pod that the mesh does not know, and a mesh that is not known yet.
  EXPECT_EQ(decide(Message("reviews", kTypeA), nullptr).reply[3] & 0xf, 2);
  const Client stranger{"uid", "stranger", "shop", "default"};
  const std::string message = Message("reviews", kTypeA);
  EXPECT_EQ(Decide(std::as_bytes(std::span(message)), Transport::kUdp, mesh_.get(), stranger,
                   config_, metrics)
                    .reply[3] &
                0xf,
            2);
  EXPECT_TRUE(decide("short", mesh_.get()).drop);
}

}  // namespace
}  // namespace mesh::dns
