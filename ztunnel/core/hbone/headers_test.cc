#include "ztunnel/core/hbone/headers.h"

#include <gtest/gtest.h>

namespace mesh::hbone {
namespace {

std::string Shape(std::string_view text) {
  const auto authority = ParseAuthority(text);
  if (!authority.ok()) return "refused";
  if (const auto* address = std::get_if<SocketAddress>(&*authority))
    return "ip " + address->ToString();
  const auto& name = std::get<HostPort>(*authority);
  return "host " + name.host + " " + std::to_string(name.port);
}

TEST(Authority, IsAnAddressANameOrRefused) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"10.1.2.3:80", "ip 10.1.2.3:80"},
      {"[2001:db8::1]:443", "ip [2001:db8::1]:443"},
      {"reviews.default.svc.cluster.local:9080", "host reviews.default.svc.cluster.local 9080"},
      {"10.1.2.3:0", "ip 10.1.2.3:0"},
      {"10.1.2.3", "refused"},
      {"10.1.2.3:70000", "refused"},
      {"10.1.2.3:", "refused"},
      {"10.1.2.3:8x", "refused"},
      {"10.1.2.3:-1", "refused"},
      {":80", "refused"},
      {"abc", "refused"},
      {"", "refused"},
      {"[::ffff:10.1.2.3]:80", "refused"},
      {"2001:db8::1:80", "refused"},
      {"a\xe0:x", "refused"},  // no UTF-8, and an answer all the same
      {"[2001:db8::1:80", "refused"},
  };
  for (const auto& [text, shape] : cases) EXPECT_EQ(Shape(text), shape) << text;
}

TEST(Baggage, SaysWhatAWorkloadIsAndReadsItBack) {
  state::Workload w;
  w.ns = "default";
  w.workload_name = "far";
  w.canonical_name = "far";
  w.canonical_revision = "v1";
  const std::string text = FormatBaggage(w);
  EXPECT_EQ(text,
            "k8s.cluster.name=Kubernetes,k8s.namespace.name=default,k8s.deployment.name=far,"
            "service.name=far,service.version=v1");
  const auto baggage = ParseBaggage(
      {{"baggage", text}, {"baggage", "cloud.region=eu, cloud.availability_zone = b"}});
  ASSERT_TRUE(baggage);
  EXPECT_EQ(baggage->ns, "default");
  EXPECT_EQ(baggage->workload_name, "far");
  EXPECT_EQ(baggage->revision, "v1");
  EXPECT_EQ(baggage->region, "eu");
  EXPECT_EQ(baggage->zone, "b");
}

TEST(Baggage, ValuesThatAreNoLabelsAreSkipped) {
  const std::string longest(253, 'x');
  EXPECT_FALSE(ParseBaggage({{"baggage", "k8s.namespace.name=\xff"}}));
  EXPECT_FALSE(ParseBaggage({{"baggage", "k8s.namespace.name=a\tb"}}));
  EXPECT_FALSE(ParseBaggage({{"baggage", "k8s.namespace.name=" + longest + "x"}}));
  const auto baggage = ParseBaggage({{"baggage", "k8s.namespace.name=" + longest},
                                     {"baggage", "cloud.region=\xc3\xa9,service.name=\xc3"}});
  ASSERT_TRUE(baggage);
  EXPECT_EQ(baggage->ns, longest);
  EXPECT_EQ(baggage->region, "\xc3\xa9");
  EXPECT_EQ(baggage->service_name, "");
}

TEST(Baggage, MalformedMembersAreSkipped) {
  EXPECT_FALSE(ParseBaggage({{"baggage", "nonsense,,=,k8s.cluster.name=,x=y"}}));
  const auto baggage = ParseBaggage({{"baggage", ";;,k8s.job.name=j=k,k8s.namespace.name"}});
  ASSERT_TRUE(baggage);
  EXPECT_EQ(baggage->workload_name, "j=k");
  EXPECT_EQ(baggage->type, state::WorkloadType::kJob);
}

TEST(Forwarded, CarriesTheHost) {
  const SocketAddress client{*IpAddress::Parse("::1"), 80};
  EXPECT_EQ(FormatForwarded(client, "a.b"), "for=\"[::1]:80\";host=a.b");
  EXPECT_EQ(ParseForwardedHost(FormatForwarded(client, "a.b")), "a.b");
  EXPECT_EQ(ParseForwardedHost("for=x; host=\"q.r\""), "q.r");
  EXPECT_EQ(ParseForwardedHost("for=x"), "");
  EXPECT_EQ(ParseForwardedHost("host="), "");
}

TEST(Refusal, TheFarEndsReasonIsReadBack) {
  const h2::Headers answer = RefusalHeaders("503", MESH_REASON_CONNECT_REFUSED);
  EXPECT_EQ(h2::Find(answer, ":status"), "503");
  EXPECT_EQ(ReasonOfRefusal(answer), MESH_REASON_CONNECT_REFUSED);
}

TEST(Refusal, AnotherProxysStatusSaysWhatItCan) {
  EXPECT_EQ(ReasonOfRefusal({{":status", "401"}}), MESH_REASON_POLICY_DENY);
  EXPECT_EQ(ReasonOfRefusal({{":status", "403"}}), MESH_REASON_POLICY_DENY);
  EXPECT_EQ(ReasonOfRefusal({{":status", "400"}}), MESH_REASON_BAD_REQUEST);
  EXPECT_EQ(ReasonOfRefusal({{":status", "503"}}), MESH_REASON_TUNNEL_REFUSED);
  // A refusal without a known reason is a refusal all the same.
  EXPECT_EQ(ReasonOfRefusal({{":status", "401"}, {"x-mesh-reason", "none"}}),
            MESH_REASON_POLICY_DENY);
  EXPECT_EQ(ReasonOfRefusal({{":status", "503"}, {"x-mesh-reason", "nonsense"}}),
            MESH_REASON_TUNNEL_REFUSED);
}

TEST(Traceparent, HasItsForm) {
  const std::string text = MakeTraceparent();
  EXPECT_EQ(text.size(), 55u);
  EXPECT_TRUE(text.starts_with("00-") && text.ends_with("-00"));
  EXPECT_NE(text, MakeTraceparent());
}

}  // namespace
}  // namespace mesh::hbone
