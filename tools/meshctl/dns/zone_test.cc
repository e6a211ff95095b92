#include "tools/meshctl/dns/zone.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace mesh::local {
namespace {

constexpr const char* kObjects[] = {
    R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"web","namespace":"shop"},
        "spec":{"clusterIP":"10.96.7.1","clusterIPs":["10.96.7.1","fd00:10:96::7"],
                "ports":[{"port":80}]}})",
    R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"db","namespace":"shop"},
        "spec":{"clusterIP":"None","selector":{"app":"db"},"ports":[{"port":80}]}})",
    R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"nobody","namespace":"shop"},
        "spec":{"clusterIP":"None","selector":{"app":"none"},"ports":[{"port":80}]}})",
    R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"alias","namespace":"shop"},
        "spec":{"type":"ExternalName","externalName":"web.shop.svc.cluster.local"}})",
    R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"circle","namespace":"shop"},
        "spec":{"type":"ExternalName","externalName":"circle.shop.svc.cluster.local."}})",
    R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"away","namespace":"shop"},
        "spec":{"type":"ExternalName","externalName":"www.example.com"}})",
    R"({"apiVersion":"v1","kind":"Pod",
        "metadata":{"name":"db-0","namespace":"shop","labels":{"app":"db"}},
        "spec":{"hostname":"db-0","subdomain":"db","containers":[{"name":"a","image":"x"}]},
        "status":{"phase":"Running","podIPs":[{"ip":"10.244.1.2"},{"ip":"fd00::2"}],
                  "conditions":[{"type":"Ready","status":"True"}]}})",
    R"({"apiVersion":"v1","kind":"Pod",
        "metadata":{"name":"other","namespace":"shop","labels":{"app":"db"}},
        "spec":{"containers":[{"name":"a","image":"x"}]},
        "status":{"phase":"Running","podIPs":[{"ip":"10.244.1.3"}],
                  "conditions":[{"type":"Ready","status":"True"}]}})",
    R"({"apiVersion":"v1","kind":"Pod",
        "metadata":{"name":"db-1","namespace":"shop","labels":{"app":"db"}},
        "spec":{"hostname":"db-1","subdomain":"db","containers":[{"name":"a","image":"x"}]},
        "status":{"phase":"Running","podIPs":[{"ip":"10.244.1.4"}],
                  "conditions":[{"type":"Ready","status":"False"}]}})"};

class ZoneTest : public testing::Test {
 protected:
  ZoneTest() : zone_(catalog_) {
    std::vector<k8s::Event> events;
    for (const char* text : kObjects) {
      const auto json = k8s::FromText(text);
      std::vector<k8s::Issue> issues;
      const auto object = k8s::DecodeObject(*json, issues);
      EXPECT_TRUE(object.has_value()) << text;
      events.push_back({.object = *object});
    }
    catalog_.Apply(events);
  }
  // "10.0.0.1 fd00::2", "none" for no such name, "forward"; with an alias "NAME: ..."
  std::string Ask(const char* name, uint16_t type = dns::kTypeA) const {
    const ZoneAnswer got = zone_.Resolve(name, type);
    if (got.forward) return "forward";
    if (got.answer.rcode == dns::Rcode::kNameError) return "none";
    EXPECT_TRUE(got.answer.authoritative);
    std::vector<IpAddress> addresses = got.answer.addresses;
    std::ranges::sort(addresses);
    std::string text = got.answer.cname.empty() ? "" : got.answer.cname + ":";
    for (const IpAddress& ip : addresses) text += (text.empty() ? "" : " ") + ip.ToString();
    return text;
  }

  k8s::ServiceCatalog catalog_;
  Zone zone_;
};

TEST_F(ZoneTest, AServiceIsItsAddresses) {
  EXPECT_EQ(Ask("web.shop.svc.cluster.local"), "10.96.7.1 fd00:10:96::7");
  EXPECT_EQ(Ask("kube-dns.kube-system.svc.cluster.local"), "10.96.0.10");
  EXPECT_EQ(Ask("web.other.svc.cluster.local"), "none");
  EXPECT_EQ(Ask("nothing.shop.svc.cluster.local"), "none");
}

TEST_F(ZoneTest, AHeadlessServiceIsWhoIsReady) {
  EXPECT_EQ(Ask("db.shop.svc.cluster.local"), "10.244.1.2 10.244.1.3 fd00::2");
  EXPECT_EQ(Ask("nobody.shop.svc.cluster.local"), "none");
}

TEST_F(ZoneTest, EndpointsHaveNames) {
  EXPECT_EQ(Ask("db-0.db.shop.svc.cluster.local"), "10.244.1.2 fd00::2");
  EXPECT_EQ(Ask("10-244-1-3.db.shop.svc.cluster.local"), "10.244.1.3");
  EXPECT_EQ(Ask("10-244-1-2.db.shop.svc.cluster.local"), "none") << "it has a host name";
  EXPECT_EQ(Ask("db-1.db.shop.svc.cluster.local"), "none") << "it is not ready";
  EXPECT_EQ(Ask("10-244-1-9.shop.pod.cluster.local"), "10.244.1.9");
  EXPECT_EQ(Ask("fd00--9.shop.pod.cluster.local"), "fd00::9");
  EXPECT_EQ(Ask("db-0.shop.pod.cluster.local"), "none");
}

TEST_F(ZoneTest, OtherTypesOfANameThatExistsAreEmpty) {
  EXPECT_EQ(Ask("web.shop.svc.cluster.local", 16), "");
  EXPECT_EQ(Ask("nothing.shop.svc.cluster.local", 16), "none");
}

TEST_F(ZoneTest, AnExternalNameLeadsOnWithinTheCluster) {
  EXPECT_EQ(Ask("alias.shop.svc.cluster.local"),
            "web.shop.svc.cluster.local: 10.96.7.1 fd00:10:96::7");
  EXPECT_EQ(Ask("away.shop.svc.cluster.local"), "www.example.com:");
  EXPECT_EQ(Ask("circle.shop.svc.cluster.local"), "circle.shop.svc.cluster.local:");
}

TEST_F(ZoneTest, WhatIsTheClustersIsNeverForwarded) {
  for (const char* name :
       {"web", "web.shop.cluster.local", "a.b.c.d.e.f.svc.cluster.local", ".cluster.local",
        "..svc.cluster.local", "web..svc.cluster.local", "example.com.shop.svc.cluster.local",
        "2.1.244.10.in-addr.arpa", "1.7.96.10.in-addr.arpa"}) {
    EXPECT_EQ(Ask(name), "none") << name;
  }
  for (const char* name :
       {"example.com", "web.shop", "mycluster.local", "4.3.2.1.in-addr.arpa", "cluster.local"}) {
    EXPECT_EQ(Ask(name), "forward") << name;
  }
}

}  // namespace
}  // namespace mesh::local
