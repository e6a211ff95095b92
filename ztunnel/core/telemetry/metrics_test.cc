#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <thread>

#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"
#include "ztunnel/core/telemetry/access_log.h"
#include "ztunnel/core/telemetry/registry.h"
#include "ztunnel/core/telemetry/shard.h"

namespace mesh::telemetry {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

state::WorkloadRef Pod(const std::string& name) {
  state::Workload w;
  w.name = name;
  w.ns = "default";
  w.workload_name = name;
  return std::make_shared<state::Workload>(w);
}

ConnectionInfo Between(const std::string& source, const std::string& destination) {
  ConnectionInfo info;
  info.source = Pod(source);
  info.destination = Pod(destination);
  return info;
}

// The value of the one series of `metric` whose labels hold all of `parts`; -1 when there is none.
int64_t ValueIn(MetricsRegistry& registry, const std::string& metric,
                const std::vector<std::string>& parts) {
  std::istringstream in(registry.Render(MetricsFormat::kOpenMetrics));
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(metric + "{")) continue;
    bool all = true;
    for (const auto& part : parts) all = all && line.find(part) != std::string::npos;
    if (all) return std::stoll(line.substr(line.rfind(' ') + 1));
  }
  return -1;
}

class Metrics : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { SetLogLevels("off"); }
  int64_t Value(const std::string& metric, const std::vector<std::string>& parts) {
    return ValueIn(registry_, metric, parts);
  }
  MetricsRegistry registry_;
  AccessLog log_{registry_};
};

TEST_F(Metrics, CountsAConnectionFromOpenToEnd) {
  WorkerMetrics worker(registry_, log_);
  const std::vector<std::string> who = {"source_workload=\"a1\"", "destination_workload=\"b1\""};
  {
    ConnectionRecord record = worker.Open(Between("a1", "b1"));
    record.AddReceived(5);
    record.AddSent(7);
    EXPECT_EQ(Value("istio_tcp_connections_opened_total", who), 1);
    EXPECT_EQ(Value("istio_tcp_received_bytes_total", who), 5);  // while it is open
    EXPECT_EQ(Value("istio_tcp_connections_closed_total", who), -1);
    record.Finish(absl::OkStatus());
  }
  EXPECT_EQ(Value("istio_tcp_connections_closed_total", who), 1);
  EXPECT_EQ(Value("istio_tcp_sent_bytes_total", who), 7);
  EXPECT_EQ(Value("istio_tcp_connections_failed_total", who), -1);
}

TEST_F(Metrics, WhatOnePeerSaysOfItselfMakesABoundedNumberOfSeries) {
  WorkerMetrics worker(registry_, log_);
  const auto connect = [&](const std::string& account, const std::string& name) {
    ConnectionInfo info = Between("x", "told");
    info.source = nullptr;
    info.mutual_tls = true;
    info.source_identity = identity::Identity{"cluster.local", "ns", account};
    info.source_baggage = Baggage();
    info.source_baggage->workload_name = name;
    worker.Open(std::move(info)).Finish(absl::OkStatus());
  };
  WorkerMetrics::Shard& shard = worker.shard();
  for (size_t i = 0; i < 3 * WorkerMetrics::Shard::kToldLimit; ++i) {
    connect("liar", "w" + std::to_string(i));
  }
  EXPECT_EQ(shard.series.size(), WorkerMetrics::Shard::kToldLimit + 1);
  const std::string metric = "istio_tcp_connections_opened_total";
  EXPECT_EQ(
      Value(metric, {"destination_workload=\"told\"", "source_workload=\"unknown\"", "sa/liar\""}),
      static_cast<int64_t>(2 * WorkerMetrics::Shard::kToldLimit));
  // Another one has room, and so has the first when its series have expired.
  connect("honest", "own");
  EXPECT_EQ(Value(metric, {"source_workload=\"own\"", "sa/honest\""}), 1);
  const auto dead = [](std::string_view, std::string_view workload) { return workload == "told"; };
  registry_.ExpireSeries(dead);
  registry_.ExpireSeries(dead);
  EXPECT_TRUE(shard.told.empty());
  connect("liar", "anew");
  EXPECT_EQ(Value(metric, {"source_workload=\"anew\""}), 1);
}

TEST_F(Metrics, SumsWorkersAndKeepsWhatTheyCounted) {
  const std::vector<std::string> who = {"source_workload=\"a2\""};
  {
    WorkerMetrics one(registry_, log_), two(registry_, log_);
    one.Open(Between("a2", "b2")).Finish(absl::OkStatus());
    two.Open(Between("a2", "b2")).Finish(absl::OkStatus());
  }
  EXPECT_EQ(Value("istio_tcp_connections_opened_total", who), 2);
}

TEST_F(Metrics, AFailureIsCountedUnderItsFlagAndReason) {
  WorkerMetrics worker(registry_, log_);
  const auto denied = WithReason(PermissionDenied("no"), MESH_REASON_POLICY_DENY);
  worker.Open(Between("a3", "b3")).Finish(denied);
  EXPECT_EQ(Value("istio_tcp_connections_failed_total", {"\"a3\"", "response_flags=\"DENY\""}), 1);
  EXPECT_EQ(Value("istio_tcp_connections_closed_total", {"\"a3\"", "response_flags=\"DENY\""}), 1);
  EXPECT_GE(Value("mesh_tunnel_connections_closed_total", {"reason=\"policy_deny\""}), 1);
}

TEST_F(Metrics, ARecordThatNobodyFinishedCountsAsDrained) {
  WorkerMetrics worker(registry_, log_);
  {
    ConnectionRecord record = worker.Open(Between("a4", "b4"));
  }
  EXPECT_EQ(Value("istio_tcp_connections_failed_total", {"\"a4\"", "response_flags=\"CONNECT\""}),
            1);
}

TEST_F(Metrics, EarlyRefusalsAreCountedByReasonOnly) {
  WorkerMetrics worker(registry_, log_);
  worker.EarlyFailure(Direction::kInbound, {}, {},
                      WithReason(Invalid("x"), MESH_REASON_ILLEGAL_PORT));
  EXPECT_EQ(Value("mesh_tunnel_connections_refused_total",
                  {"direction=\"inbound\"", "reason=\"illegal_port\""}),
            1);
}

TEST_F(Metrics, SeriesAreBounded) {
  WorkerMetrics worker(registry_, log_);
  worker.shard().limit = 2;
  for (int i = 0; i < 10; ++i) {
    worker.Open(Between("many-" + std::to_string(i), "b5")).Finish(absl::OkStatus());
  }
  EXPECT_EQ(worker.shard().series.size(), 2u);
  EXPECT_EQ(worker.shard().overflowed, 8u);
  EXPECT_GE(Value("istio_tcp_connections_opened_total", {"source_workload=\"overflow\""}), 8);
}

TEST_F(Metrics, HostLookupsAreBounded) {
  WorkerMetrics worker(registry_, log_);
  const auto source = Pod("asks");
  worker.HostLookup(source, "first.example");
  for (size_t i = 0; i < WorkerMetrics::Shard::kHostLookupLimit + 4; ++i) {
    worker.HostLookup(source, "name-" + std::to_string(i) + ".example");
  }
  worker.HostLookup(source, "first.example");
  EXPECT_EQ(Value("istio_on_demand_dns_total", {"\"asks\"", "\"first.example\""}), 2);
  EXPECT_EQ(Value("istio_on_demand_dns_total", {"\"overflow\""}), 5);
}

TEST_F(Metrics, SeriesOfGoneWorkloadsExpireWhenQuiet) {
  WorkerMetrics worker(registry_, log_);
  const auto alive = [](std::string_view, std::string_view w) {
    return w != "gone" && w != "gone2";
  };
  auto info = Between("gone", "b6");
  worker.Open(info).Finish(absl::OkStatus());
  ConnectionRecord open = worker.Open(Between("gone2", "b6"));
  worker.Open(Between("stays", "b6")).Finish(absl::OkStatus());
  registry_.ExpireSeries(alive);
  EXPECT_EQ(Value("istio_tcp_connections_opened_total", {"\"gone\""}), 1);  // seen moving
  registry_.ExpireSeries(alive);
  EXPECT_EQ(Value("istio_tcp_connections_opened_total", {"\"gone\""}), -1);
  EXPECT_EQ(Value("istio_tcp_connections_opened_total", {"\"gone2\""}), 1);
  EXPECT_EQ(Value("istio_tcp_connections_opened_total", {"\"stays\""}), 1);
  worker.Open(info).Finish(absl::OkStatus());  // back again: a new series
  EXPECT_EQ(Value("istio_tcp_connections_opened_total", {"\"gone\""}), 1);
}

TEST_F(Metrics, CountsExactlyWhileScraped) {
  WorkerMetrics worker(registry_, log_);
  std::atomic<bool> stop = false;
  std::thread scraper([&] {
    while (!stop) registry_.Render(MetricsFormat::kText);
  });
  for (int i = 0; i < 5000; ++i) {
    ConnectionRecord record = worker.Open(Between("busy", i % 2 ? "x" : "y"));
    record.AddSent(3);
    record.Finish(absl::OkStatus());
  }
  stop = true;
  scraper.join();
  EXPECT_EQ(Value("istio_tcp_sent_bytes_total", {"\"busy\"", "\"x\""}), 7500);
  EXPECT_EQ(Value("istio_tcp_connections_closed_total", {"\"busy\"", "\"y\""}), 2500);
}

TEST_F(Metrics, FamiliesAreNamedAsTheReferences) {
  WorkerMetrics worker(registry_, log_);
  worker.SocketOpened(Reporter::kSource);
  const std::string text = registry_.Render(MetricsFormat::kOpenMetrics);
  std::ifstream in(MESH_TEST_DATA "/ztunnel/node-a.metrics.txt");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("# TYPE istio_tcp_")) EXPECT_THAT(text, HasSubstr(line + "\n"));
  }
  EXPECT_TRUE(text.ends_with("# EOF\n"));
  worker.SocketClosed(Reporter::kSource);
  EXPECT_EQ(Value("istio_tcp_sockets_open", {"reporter=\"source\""}), 0);
}

TEST_F(Metrics, PlainTextFormNamesFamiliesAsTheirSamples) {
  WorkerMetrics worker(registry_, log_);
  const std::string text = registry_.Render(MetricsFormat::kText);
  EXPECT_THAT(text, HasSubstr("# TYPE istio_tcp_connections_opened_total counter\n"));
  EXPECT_THAT(text, Not(HasSubstr("# EOF")));
}

TEST(MetricsWriter, WritesHistogramsCumulatively) {
  MetricsWriter writer(MetricsFormat::kOpenMetrics);
  writer.Family("h_seconds", MetricType::kHistogram, "H.");
  const double bounds[] = {0.0005, 1};
  const uint64_t counts[] = {1, 2, 3};
  writer.Histogram("a=\"b\"", bounds, counts, 4.5);
  EXPECT_EQ(std::move(writer).Finish(),
            "# HELP h_seconds H.\n# TYPE h_seconds histogram\n"
            "h_seconds_bucket{a=\"b\",le=\"0.0005\"} 1\n"
            "h_seconds_bucket{a=\"b\",le=\"1.0\"} 3\n"
            "h_seconds_bucket{a=\"b\",le=\"+Inf\"} 6\n"
            "h_seconds_sum{a=\"b\"} 4.5\nh_seconds_count{a=\"b\"} 6\n# EOF\n");
}

}  // namespace
}  // namespace mesh::telemetry
