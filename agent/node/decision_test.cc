#include "agent/node/decision.h"

#include <gtest/gtest.h>

namespace mesh::node {
namespace {

PodSpec Pod(StringMap<std::string> labels, StringMap<std::string> ns_labels) {
  PodSpec pod;
  pod.uid = "u";
  pod.name = "client";
  pod.ns = "shop";
  pod.labels = std::move(labels);
  pod.ns_labels = std::move(ns_labels);
  return pod;
}

constexpr const char* kMode = "istio.io/dataplane-mode";

TEST(Decision, LabelsOfPodAndNamespace) {
  struct Case {
    StringMap<std::string> labels, ns_labels;
    bool enrol;
    const char* reason;
  } cases[] = {
      {{}, {}, false, "neither"},
      {{}, {{kMode, "ambient"}}, true, "the namespace's label istio.io"},
      {{{kMode, "ambient"}}, {}, true, "the pod's label"},
      {{{kMode, "none"}}, {{kMode, "ambient"}}, false, "the pod's label"},
      {{{kMode, "ambient"}}, {{kMode, "none"}}, true, "the pod's label"},
      {{}, {{"istio-injection", "enabled"}}, true, "istio-injection=enabled"},
      {{{kMode, "none"}}, {{"istio-injection", "enabled"}}, false, "the pod's label"},
      {{}, {{"istio-injection", "enabled"}, {kMode, "none"}}, false, "the namespace's label"},
  };
  for (const Case& c : cases) {
    const Decision decision = Decide(Pod(c.labels, c.ns_labels), {});
    EXPECT_EQ(decision.enrol, c.enrol) << decision.reason;
    EXPECT_NE(decision.reason.find(c.reason), std::string::npos) << decision.reason;
  }
}

TEST(Decision, SomePodsAreNeverEnrolled) {
  const StringMap<std::string> ambient = {{kMode, "ambient"}};
  PodSpec host = Pod(ambient, {});
  host.host_network = true;
  EXPECT_FALSE(Decide(host, {}).enrol);
  PodSpec finished = Pod(ambient, {});
  finished.finished = true;
  EXPECT_FALSE(Decide(finished, {}).enrol);
  PodSpec system = Pod(ambient, {});
  system.ns = "kube-system";
  EXPECT_FALSE(Decide(system, {}).enrol);
  PodSpec sidecar = Pod(ambient, {});
  sidecar.annotations["sidecar.istio.io/status"] = "{}";
  EXPECT_FALSE(Decide(sidecar, {}).enrol);
  PodSpec proxy = Pod({{kMode, "ambient"}, {"app", "ztunnel"}}, {});
  EXPECT_TRUE(Decide(proxy, {}).enrol);
  proxy.ns = "istio-system";
  EXPECT_FALSE(Decide(proxy, {}).enrol);
}

TEST(Decision, AnnotationsSteerDnsAndInbound) {
  PodSpec pod = Pod({}, {});
  EXPECT_TRUE(WantsDnsCapture(pod, true));
  EXPECT_FALSE(WantsDnsCapture(pod, false));
  EXPECT_FALSE(BypassesInbound(pod));
  pod.annotations["ambient.istio.io/dns-capture"] = "false";
  pod.annotations["ambient.istio.io/bypass-inbound-capture"] = "true";
  EXPECT_FALSE(WantsDnsCapture(pod, true));
  EXPECT_TRUE(BypassesInbound(pod));
}

}  // namespace
}  // namespace mesh::node
