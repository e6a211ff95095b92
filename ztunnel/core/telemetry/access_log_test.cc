#include "ztunnel/core/telemetry/access_log.h"

#include <gtest/gtest.h>

#include <fstream>
#include <regex>

#include "ztunnel/base/status.h"
#include "ztunnel/core/telemetry/registry.h"

namespace mesh::telemetry {
namespace {

state::WorkloadRef Pod(const std::string& name) {
  state::Workload w;
  w.name = name;
  w.ns = "default";
  w.service_account = name;
  return std::make_shared<state::Workload>(w);
}

AccessEntry Tunnelled() {
  AccessEntry entry;
  EXPECT_TRUE(
      absl::ParseTime(absl::RFC3339_full, "2026-11-24T10:42:36.248925Z", &entry.time, nullptr));
  entry.info.reporter = Reporter::kDestination;
  entry.info.src = *SocketAddress::Parse("10.244.1.10:59820");
  entry.info.dst = *SocketAddress::Parse("10.244.1.20:15008");
  entry.info.hbone_authority = "10.244.1.20:7000";
  entry.info.source = Pod("client");
  entry.info.destination = Pod("near");
  entry.info.source_identity = entry.info.source->Identity();
  entry.info.destination_identity = entry.info.destination->Identity();
  entry.info.mutual_tls = true;
  entry.received = 10;
  entry.sent = 10;
  return entry;
}

bool Recorded(const std::string& file, const std::string& line) {
  std::ifstream in(MESH_TEST_DATA "/ztunnel/" + file);
  for (std::string recorded; std::getline(in, recorded);) {
    if (recorded + "\n" == line) return true;
  }
  return false;
}

TEST(AccessLine, IsTheReferencesForATunnelledConnection) {
  const std::string line = FormatAccessEntry(Tunnelled(), LogFormat::kPlain, "Kubernetes");
  EXPECT_TRUE(Recorded("node-a.access.log", line)) << line;
}

TEST(AccessLine, IsTheReferencesForAPassedThroughConnection) {
  AccessEntry entry;
  ASSERT_TRUE(
      absl::ParseTime(absl::RFC3339_full, "2026-11-24T10:42:36.258617Z", &entry.time, nullptr));
  entry.info.src = *SocketAddress::Parse("10.244.1.10:13074");
  entry.info.dst = *SocketAddress::Parse("10.244.2.21:7000");
  entry.info.source = Pod("client");
  entry.info.source_identity = entry.info.source->Identity();
  entry.received = 10;
  entry.sent = 10;
  entry.duration = absl::Milliseconds(1);
  const std::string line = FormatAccessEntry(entry, LogFormat::kPlain, "Kubernetes");
  EXPECT_TRUE(Recorded("node-a.access.log", line)) << line;
}

TEST(AccessLine, BytesAreThoseOfTheLocalPod) {
  AccessEntry entry = Tunnelled();
  entry.received = 10;
  entry.sent = 309;
  EXPECT_NE(FormatAccessEntry(entry, LogFormat::kPlain, "").find("bytes_sent=309 bytes_recv=10"),
            std::string::npos);
  entry.info.reporter = Reporter::kSource;
  EXPECT_NE(FormatAccessEntry(entry, LogFormat::kPlain, "").find("bytes_sent=10 bytes_recv=309"),
            std::string::npos);
}

TEST(AccessLine, FailureEndsWithErrorAndReason) {
  AccessEntry entry = Tunnelled();
  entry.status =
      WithReason(PermissionDenied("explicitly denied by: shop/rule"), MESH_REASON_POLICY_DENY);
  const std::string line = FormatAccessEntry(entry, LogFormat::kPlain, "Kubernetes");
  EXPECT_NE(line.find("\terror\taccess\tconnection complete\t"), std::string::npos);
  EXPECT_TRUE(line.ends_with("error=\"explicitly denied by: shop/rule\" reason=policy_deny\n"))
      << line;
}

TEST(AccessLine, JsonHasTheFieldsAtTheTop) {
  AccessEntry entry = Tunnelled();
  entry.status = WithReason(Unavailable("a \"quoted\"\nerror"), MESH_REASON_CONNECT_REFUSED);
  const std::string line = FormatAccessEntry(entry, LogFormat::kJson, "Kubernetes");
  EXPECT_TRUE(line.starts_with(
      R"({"level":"error","time":"2026-11-24T10:42:36.248925Z","scope":"access","message":"connection complete","src.addr":"10.244.1.10:59820",)"))
      << line;
  EXPECT_NE(line.find(R"("bytes_sent":10,"bytes_recv":10,"duration":"0ms")"), std::string::npos);
  EXPECT_TRUE(line.ends_with("\"reason\":\"connect_refused\"}\n")) << line;
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
}

TEST(AccessLine, APeerCannotForgeALine) {
  AccessEntry entry = Tunnelled();
  entry.info.hbone_authority = "x\n2026 info access forged";
  const std::string line = FormatAccessEntry(entry, LogFormat::kPlain, "Kubernetes");
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
}

TEST(AccessLine, AnotherClusterIsNamed) {
  const std::string line = FormatAccessEntry(Tunnelled(), LogFormat::kPlain, "west");
  EXPECT_NE(line.find("src.cluster=\"Kubernetes\" dst.addr="), std::string::npos) << line;
}

TEST(AccessLog, WritesEverythingQueuedBeforeItStops) {
  std::FILE* out = std::tmpfile();
  MetricsRegistry registry;
  AccessLog log(registry);
  log.Start(LogFormat::kPlain, "Kubernetes", out);
  for (int i = 0; i < 1000; ++i) log.Write(Tunnelled());
  log.Stop();
  std::rewind(out);
  int lines = 0;
  for (int c; (c = std::fgetc(out)) != EOF;) lines += c == '\n';
  EXPECT_EQ(lines, 1000);
  std::fclose(out);
}

}  // namespace
}  // namespace mesh::telemetry
