#include "agent/node/source_view.h"

#include <gtest/gtest.h>

namespace mesh::node {
namespace {

k8s::Event Of(const char* json, bool deleted = false) {
  const auto value = k8s::FromText(json);
  EXPECT_TRUE(value.ok()) << value.status();
  std::vector<k8s::Issue> issues;
  const auto object = k8s::DecodeObject(*value, issues);
  EXPECT_TRUE(object.has_value()) << json;
  return {.deleted = deleted, .object = *object};
}

constexpr const char* kNamespace = R"({"apiVersion":"v1","kind":"Namespace",
  "metadata":{"name":"shop","labels":{"istio.io/dataplane-mode":"ambient"}}})";
constexpr const char* kPod = R"({"apiVersion":"v1","kind":"Pod",
  "metadata":{"name":"client","namespace":"shop","uid":"u-1","labels":{"app":"client"},
    "annotations":{"local.mesh/netns":"/run/netns/x","ambient.istio.io/redirection":"enabled"}},
  "spec":{"nodeName":"node-1","containers":[{"name":"app","image":"x"}]},
  "status":{"phase":"Running","podIP":"10.244.1.2","podIPs":[{"ip":"10.244.1.2"},{"ip":"fd00::2"}]}})";

PodSpec Only(const SourceView& view) {
  const auto pods = view.Pods();
  EXPECT_EQ(pods.size(), 1u);
  return pods.empty() ? PodSpec() : pods.begin()->second;
}

TEST(SourceView, APodAsTheAgentNeedsIt) {
  SourceView view("node-1", "istio-system");
  view.Apply({Of(kNamespace), Of(kPod)});
  const PodSpec pod = Only(view);
  EXPECT_EQ(pod.FullName(), "shop/client");
  EXPECT_EQ(pod.uid, "u-1");
  EXPECT_EQ(pod.service_account, "default");
  EXPECT_EQ(pod.netns_path, "/run/netns/x");
  EXPECT_EQ(pod.ips.size(), 2u);
  EXPECT_EQ(pod.ns_labels.at("istio.io/dataplane-mode"), "ambient");
  EXPECT_FALSE(pod.annotations.contains("ambient.istio.io/redirection"));
  EXPECT_FALSE(pod.strict);
}

TEST(SourceView, PodsOfOtherNodesAndUnplacedOnesAreNotOurs) {
  SourceView view("node-2", "istio-system");
  view.Apply(
      {Of(kPod), Of(R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"new","namespace":"shop"},
    "spec":{"nodeName":"node-2","containers":[{"name":"app","image":"x"}]}})")});
  EXPECT_TRUE(view.Pods().empty());
}

TEST(SourceView, StrictOnlyWhenEveryPortIs) {
  SourceView view("node-1", "istio-system");
  view.Apply({Of(kPod)});
  struct Case {
    const char* policy;
    bool strict;
  } cases[] = {
      {R"({"apiVersion":"security.istio.io/v1","kind":"PeerAuthentication","metadata":{"name":"p","namespace":"shop"},
        "spec":{"mtls":{"mode":"STRICT"}}})",
       true},
      {R"({"apiVersion":"security.istio.io/v1","kind":"PeerAuthentication","metadata":{"name":"p","namespace":"istio-system"},
        "spec":{"mtls":{"mode":"STRICT"}}})",
       true},
      {R"({"apiVersion":"security.istio.io/v1","kind":"PeerAuthentication","metadata":{"name":"p","namespace":"other"},
        "spec":{"mtls":{"mode":"STRICT"}}})",
       false},
      {R"({"apiVersion":"security.istio.io/v1","kind":"PeerAuthentication","metadata":{"name":"p","namespace":"shop"},
        "spec":{"selector":{"matchLabels":{"app":"client"}},"mtls":{"mode":"STRICT"},
                "portLevelMtls":{"8080":{"mode":"PERMISSIVE"}}}})",
       false},
      {R"({"apiVersion":"security.istio.io/v1","kind":"PeerAuthentication","metadata":{"name":"p","namespace":"shop"},
        "spec":{"mtls":{"mode":"PERMISSIVE"}}})",
       false},
  };
  for (const Case& c : cases) {
    view.Apply({Of(c.policy)});
    EXPECT_EQ(Only(view).strict, c.strict) << c.policy;
    view.Apply({Of(c.policy, true)});
    EXPECT_FALSE(Only(view).strict);
  }
}

TEST(SourceView, ADeletedPodIsGone) {
  SourceView view("node-1", "istio-system");
  view.Apply({Of(kPod)});
  view.Apply({Of(kPod, true)});
  EXPECT_TRUE(view.Pods().empty());
}

}  // namespace
}  // namespace mesh::node
