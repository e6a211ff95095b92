#include "ztunnel/core/telemetry/labels.h"

#include <gtest/gtest.h>

#include <fstream>
#include <regex>

#include "ztunnel/base/status.h"
#include "ztunnel/core/telemetry/response_flags.h"

namespace mesh::telemetry {
namespace {

// Names of the labels of the first series of `metric` in the recorded scrape, in order.
std::vector<std::string> RecordedLabelNames(const std::string& metric) {
  std::ifstream in(MESH_TEST_DATA "/ztunnel/node-a.metrics.txt");
  std::string line;
  while (std::getline(in, line)) {
    if (line.starts_with(metric + "{")) break;
  }
  std::vector<std::string> names;
  static const std::regex name("([a-z_]+)=\"");
  for (std::sregex_iterator it(line.begin(), line.end(), name), end; it != end; ++it) {
    names.push_back((*it)[1]);
  }
  return names;
}

std::vector<std::string> Names(const std::string& rendered) {
  std::vector<std::string> names;
  static const std::regex name("([a-z_]+)=\"");
  for (std::sregex_iterator it(rendered.begin(), rendered.end(), name), end; it != end; ++it) {
    names.push_back((*it)[1]);
  }
  return names;
}

state::WorkloadRef Pod(const std::string& name) {
  state::Workload w;
  w.name = name + "-0";
  w.ns = "default";
  w.workload_name = name;
  w.canonical_name = name;
  w.canonical_revision = "v1";
  w.service_account = name;
  return std::make_shared<state::Workload>(w);
}

TEST(TcpLabels, AreThoseOfTheReferenceInItsOrder) {
  const auto recorded = RecordedLabelNames("istio_tcp_connections_opened_total");
  ASSERT_GT(recorded.size(), 20u);
  ConnectionInfo info;
  info.source = Pod("client");
  const TcpLabels labels = RenderLabels(info);
  EXPECT_EQ(Names(labels.before_flags + "-" + labels.after_flags), recorded);
}

TEST(TcpLabels, OneSeriesIsWrittenAsTheReferenceWritesIt) {
  ConnectionInfo info;
  info.source = Pod("client");
  info.destination = Pod("far");
  info.mutual_tls = true;
  info.source_identity = info.source->Identity();
  info.destination_identity = info.destination->Identity();
  state::Service service;
  service.name = "far";
  service.ns = "default";
  service.hostname = "far.default.svc.cluster.local";
  info.destination_service = std::make_shared<state::Service>(service);
  const TcpLabels labels = RenderLabels(info);
  const std::string line = "istio_tcp_connections_opened_total{" + labels.before_flags + "-" +
                           labels.after_flags + "} 1";
  std::ifstream in(MESH_TEST_DATA "/ztunnel/node-a.metrics.txt");
  bool found = false;
  for (std::string recorded; std::getline(in, recorded);) found = found || recorded == line;
  EXPECT_TRUE(found) << line;
}

TEST(TcpLabels, PrincipalsOfPlainTextAreUnknown) {
  ConnectionInfo info;
  info.source = Pod("client");
  info.source_identity = info.source->Identity();
  EXPECT_NE(RenderLabels(info).before_flags.find("source_principal=\"unknown\""),
            std::string::npos);
  info.destination = Pod("near");
  info.destination_identity = info.destination->Identity();  // the same node: proved by the kernel
  const TcpLabels labels = RenderLabels(info);
  EXPECT_NE(labels.before_flags.find(
                "destination_principal=\"spiffe://cluster.local/ns/default/sa/near\""),
            std::string::npos);
  EXPECT_NE(labels.after_flags.find("connection_security_policy=\"unknown\""), std::string::npos);
}

TEST(TcpLabels, LocalityIsLeftOutWhenNeitherSideIsKnown) {
  const TcpLabels labels = RenderLabels(ConnectionInfo());
  EXPECT_EQ(labels.after_flags.find("source_region"), std::string::npos);
}

TEST(TcpLabels, BaggageSpeaksForAnUnknownSource) {
  ConnectionInfo info;
  info.source_baggage = Baggage{.cluster = "west",
                                .ns = "shop",
                                .workload_name = "cart-v2",
                                .service_name = "cart",
                                .revision = "v2",
                                .region = "r",
                                .zone = "z"};
  const std::string text = RenderLabels(info).before_flags;
  EXPECT_NE(text.find("source_app=\"cart-v2\""), std::string::npos);
  EXPECT_NE(text.find("source_canonical_service=\"cart\""), std::string::npos);
  EXPECT_NE(text.find("source_cluster=\"west\""), std::string::npos);
}

TEST(TcpLabels, ValuesAreEscaped) {
  std::string out;
  AppendLabel(out, "a", "x\"y\\z\n");
  EXPECT_EQ(out, "a=\"x\\\"y\\\\z\\n\"");
  out.clear();
  AppendLabel(out, "a", "\xff\xc3\xa9");
  EXPECT_EQ(out, "a=\"\xef\xbf\xbd\xc3\xa9\"");
}

TEST(Reasons, TravelWithTheStatus) {
  const absl::Status status =
      WithReason(PermissionDenied("denied by shop/rule"), MESH_REASON_POLICY_DENY);
  EXPECT_EQ(ReasonOf(WithContext(status, "inbound")), MESH_REASON_POLICY_DENY);
  EXPECT_EQ(ReasonOf(absl::OkStatus()), MESH_REASON_NONE);
  EXPECT_EQ(ReasonOf(Internal("x")), MESH_REASON_INTERNAL);
  EXPECT_STREQ(ReasonLabel(MESH_REASON_STRICT_PLAINTEXT), "strict_plaintext");
  EXPECT_STREQ(FlagLabel(FlagOf(MESH_REASON_STRICT_PLAINTEXT)), "DENY");
  EXPECT_STREQ(FlagLabel(FlagOf(MESH_REASON_CONNECT_REFUSED)), "CONNECT");
  EXPECT_STREQ(FlagLabel(FlagOf(MESH_REASON_TUNNEL_BLOCKED)), "NETWORK_POLICY");
}

}  // namespace
}  // namespace mesh::telemetry
