#include "agent/node/cni/event.h"

#include <gtest/gtest.h>

namespace mesh::node {
namespace {

TEST(CniEvent, ReadsWhatThePluginSends) {
  const auto event =
      ParseCniEvent(R"({"Netns":"/run/netns/x","PodName":"client","PodNamespace":"shop",
    "IPs":[{"Interface":0,"Address":{"IP":"10.244.1.2","Mask":"////AA=="},"Gateway":"10.244.1.1"},
           {"Address":{"IP":"fd00::2"}}]})");
  ASSERT_TRUE(event.ok()) << event.status();
  EXPECT_EQ(event->netns_path, "/run/netns/x");
  EXPECT_EQ(event->pod_name, "client");
  EXPECT_EQ(event->pod_namespace, "shop");
  ASSERT_EQ(event->ips.size(), 2u);
  EXPECT_EQ(event->ips[1].ToString(), "fd00::2");
}

TEST(CniEvent, RefusesWhatIsMissingByName) {
  struct Case {
    const char* json;
    const char* names;
  } cases[] = {
      {"", ""},
      {"[]", "Netns"},
      {R"({"PodName":"a","PodNamespace":"b"})", "Netns"},
      {R"({"Netns":"/n","PodName":7,"PodNamespace":"b"})", "PodName"},
      {R"({"Netns":"/n","PodName":"a"})", "PodNamespace"},
      {R"({"Netns":"/n\u0000x","PodName":"a","PodNamespace":"b"})", "Netns"},
      {R"({"Netns":"/n","PodName":"a","PodNamespace":"b","IPs":[{"Address":{"IP":"10.0.0.300"}}]})",
       "10.0.0.300"},
  };
  for (const Case& c : cases) {
    const auto event = ParseCniEvent(c.json);
    ASSERT_FALSE(event.ok()) << c.json;
    EXPECT_NE(event.status().ToString().find(c.names), std::string::npos) << event.status();
  }
}

}  // namespace
}  // namespace mesh::node
