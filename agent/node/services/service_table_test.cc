#include "agent/node/services/service_table.h"

#include <gtest/gtest.h>

namespace mesh::node {
namespace {

k8s::Event Of(const std::string& json, bool deleted = false) {
  const auto value = k8s::FromText(json);
  EXPECT_TRUE(value.ok()) << value.status();
  std::vector<k8s::Issue> issues;
  const auto object = k8s::DecodeObject(*value, issues);
  EXPECT_TRUE(object.has_value()) << json;
  return {.deleted = deleted, .object = *object};
}

std::string Service(const std::string& spec) {
  return R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"web","namespace":"shop"},"spec":)" +
         spec + "}";
}

struct PodOptions {
  std::string app = "web", node = "node-1", phase = "Running", metadata = "";
  bool ready = true;
};

std::string Pod(const std::string& name, const std::string& ip, const PodOptions& options = {}) {
  return R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":")" + name +
         R"(","namespace":"shop","uid":"u","labels":{"app":")" + options.app + "\"}" +
         options.metadata + R"(},"spec":{"nodeName":")" + options.node +
         R"(","containers":[{"name":"app","image":"x","ports":[{"name":"http","containerPort":8080},
            {"name":"dns","containerPort":5353,"protocol":"UDP"}]}]},
          "status":{"phase":")" +
         options.phase + R"(","podIP":")" + ip + R"(","podIPs":[{"ip":")" + ip +
         R"("},{"ip":"fd00::)" + ip.substr(ip.rfind('.') + 1) +
         R"("}],"conditions":[{"type":"Ready","status":")" + (options.ready ? "True" : "False") +
         "\"}]}}";
}

constexpr const char* kPorts =
    R"("selector":{"app":"web"},"ports":[{"name":"http","port":80,"targetPort":"http"},
       {"name":"dns","port":53,"protocol":"UDP","targetPort":"dns"},{"name":"raw","port":9000}])";

// "10.96.0.7:80 -> 10.244.1.2:8080", UDP with a mark.
std::string Text(const ServiceTable& table) {
  std::string text;
  for (const auto& [front, backends] : table) {
    text += SocketAddress{front.ip, front.port}.ToString() + (front.udp ? " udp ->" : " ->");
    for (const SocketAddress& backend : backends) text += " " + backend.ToString();
    text += "\n";
  }
  return text;
}

std::string Build(const std::vector<std::string>& objects) {
  k8s::ServiceCatalog catalog;
  std::vector<k8s::Event> events;
  for (const std::string& json : objects) events.push_back(Of(json));
  EXPECT_TRUE(catalog.Apply(events));
  return Text(BuildServiceTable(catalog, "node-1"));
}

TEST(ServiceTable, PortsByNumberByNameAndByProtocol) {
  EXPECT_EQ(Build({Service(std::string(R"({"clusterIP":"10.96.0.7",)") + kPorts + "}"),
                   Pod("b", "10.244.1.3"), Pod("a", "10.244.1.2")}),
            "10.96.0.7:53 udp -> 10.244.1.2:5353 10.244.1.3:5353\n"
            "10.96.0.7:80 -> 10.244.1.2:8080 10.244.1.3:8080\n"
            "10.96.0.7:9000 -> 10.244.1.2:9000 10.244.1.3:9000\n");
}

TEST(ServiceTable, EachFamilyHasItsOwnBackends) {
  const std::string text =
      Build({Service(R"({"clusterIP":"10.96.0.7","clusterIPs":["10.96.0.7","fd00:10:96::7"],
                   "selector":{"app":"web"},"ports":[{"port":80,"targetPort":8080}]})"),
             Pod("a", "10.244.1.2")});
  EXPECT_EQ(text,
            "10.96.0.7:80 -> 10.244.1.2:8080\n"
            "[fd00:10:96::7]:80 -> [fd00::2]:8080\n");
}

TEST(ServiceTable, WhoIsNotReadyEndsOrIsOverHasNoTraffic) {
  const std::string service =
      Service(R"({"clusterIP":"10.96.0.7","selector":{"app":"web"},"ports":[{"port":80}]})");
  EXPECT_EQ(
      Build({service, Pod("a", "10.244.1.2", {.ready = false}),
             Pod("b", "10.244.1.3", {.metadata = R"(,"deletionTimestamp":"2026-01-01T00:00:00Z")"}),
             Pod("c", "10.244.1.4", {.phase = "Succeeded"}),
             Pod("d", "10.244.1.5", {.app = "other"})}),
      "10.96.0.7:80 ->\n");
  EXPECT_EQ(Build({Service(R"({"clusterIP":"10.96.0.7","publishNotReadyAddresses":true,
                               "selector":{"app":"web"},"ports":[{"port":80}]})"),
                   Pod("a", "10.244.1.2", {.ready = false})}),
            "10.96.0.7:80 -> 10.244.1.2:80\n");
}

TEST(ServiceTable, InternalTrafficPolicyLocalStaysOnTheNode) {
  EXPECT_EQ(Build({Service(R"({"clusterIP":"10.96.0.7","internalTrafficPolicy":"Local",
                               "selector":{"app":"web"},"ports":[{"port":80}]})"),
                   Pod("a", "10.244.1.2"), Pod("b", "10.244.2.2", {.node = "node-2"})}),
            "10.96.0.7:80 -> 10.244.1.2:80\n");
}

TEST(ServiceTable, HeadlessAndExternalNamesHaveNoAddressToTranslate) {
  EXPECT_EQ(
      Build({Service(R"({"clusterIP":"None","selector":{"app":"web"},"ports":[{"port":80}]})"),
             Pod("a", "10.244.1.2")}),
      "");
  EXPECT_EQ(Build({Service(R"({"type":"ExternalName","externalName":"example.com"})")}), "");
}

TEST(ServiceTable, SlicesServeServicesWithoutSelector) {
  EXPECT_EQ(
      Build({Service(R"({"clusterIP":"10.96.0.7","ports":[{"name":"http","port":80}]})"),
             R"({"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","addressType":"IPv4",
                 "metadata":{"name":"web-1","namespace":"shop",
                             "labels":{"kubernetes.io/service-name":"web"}},
                 "endpoints":[{"addresses":["192.0.2.7"]},
                              {"addresses":["192.0.2.8"],"conditions":{"ready":false}}],
                 "ports":[{"name":"http","port":8081},{"name":"other","port":1}]})"}),
      "10.96.0.7:80 -> 192.0.2.7:8081\n");
}

TEST(ServiceTable, WhatGoesIsGone) {
  const std::string service =
      Service(R"({"clusterIP":"10.96.0.7","selector":{"app":"web"},"ports":[{"port":80}]})");
  k8s::ServiceCatalog catalog;
  EXPECT_TRUE(catalog.Apply({Of(service), Of(Pod("a", "10.244.1.2"))}));
  EXPECT_TRUE(catalog.Apply({Of(Pod("a", "10.244.1.2"), true)}));
  EXPECT_EQ(Text(BuildServiceTable(catalog, "node-1")), "10.96.0.7:80 ->\n");
  EXPECT_TRUE(catalog.Apply({Of(service, true)}));
  EXPECT_TRUE(BuildServiceTable(catalog, "node-1").empty());
  EXPECT_FALSE(
      catalog.Apply({Of(R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":"n"}})")}));
}

}  // namespace
}  // namespace mesh::node
