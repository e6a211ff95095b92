#include <absl/random/random.h>
#include <gtest/gtest.h>

#include <map>

#include "ztunnel/waypoint/lb/choose.h"
#include "ztunnel/waypoint/lb/outlier.h"

namespace mesh::lb {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1'800'000'000);

ClusterRef MakeCluster(size_t hosts, ClusterOptions options = {}) {
  std::vector<Host> list;
  for (size_t i = 0; i < hosts; ++i) {
    Host host;
    host.address = *SocketAddress::Parse("10.0.0." + std::to_string(i + 1) + ":80");
    host.stats = std::make_shared<HostStats>();
    list.push_back(std::move(host));
  }
  return std::make_shared<Cluster>("c", std::move(options), std::move(list),
                                   std::make_shared<ClusterStats>());
}

ClusterOptions SeedOutlier() {
  ClusterOptions options;
  options.outlier = ClusterOptions::Outlier();
  options.outlier->interval = absl::Seconds(30);
  options.outlier->max_ejection_percent = 50;
  return options;
}

void Fail(const Cluster& cluster, size_t host, int times, absl::Time now = kStart) {
  for (int i = 0; i < times; ++i) ReportStatus(cluster, cluster.hosts()[host], 500, now);
}
bool Ejected(const Cluster& cluster, size_t host) { return cluster.hosts()[host].stats->ejected; }

std::map<const Host*, int> Draw(const Cluster& cluster, int times) {
  absl::BitGen random;
  std::map<const Host*, int> counts;
  for (int i = 0; i < times; ++i)
    ++counts[Choose(cluster, {.hash = {}, .tried = {}, .now = kStart}, random)];
  return counts;
}

TEST(Choose, GivesNullWithoutHosts) {
  absl::BitGen random;
  EXPECT_EQ(Choose(*MakeCluster(0), {.hash = {}, .tried = {}, .now = kStart}, random), nullptr);
}

TEST(Choose, RoundRobinGoesRound) {
  ClusterOptions options;
  options.simple = ClusterOptions::Simple::kRoundRobin;
  for (const auto& [host, count] : Draw(*MakeCluster(3, options), 300)) EXPECT_EQ(count, 100);
}

TEST(Choose, LeastRequestPrefersTheIdleHost) {
  const ClusterRef cluster = MakeCluster(2);
  cluster->hosts()[0].stats->active_requests = 10;
  const auto counts = Draw(*cluster, 1000);
  EXPECT_GT(counts.at(&cluster->hosts()[1]), 650);  // three of four
}

TEST(Choose, AvoidsHostsThatWereTriedWhileThereAreOthers) {
  const ClusterRef cluster = MakeCluster(2);
  absl::BitGen random;
  const Host* tried[] = {&cluster->hosts()[0]};
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(Choose(*cluster, {.hash = {}, .tried = tried, .now = kStart}, random),
              &cluster->hosts()[1]);
  }
  const Host* all[] = {&cluster->hosts()[0], &cluster->hosts()[1]};
  EXPECT_NE(Choose(*cluster, {.hash = {}, .tried = all, .now = kStart}, random), nullptr);
}

TEST(Outlier, EjectsAfterFiveErrorsInARow) {
  const ClusterRef cluster = MakeCluster(2, SeedOutlier());
  Fail(*cluster, 0, 4);
  ReportStatus(*cluster, cluster->hosts()[0], 200, kStart);
  Fail(*cluster, 0, 4);
  EXPECT_FALSE(Ejected(*cluster, 0));
  Fail(*cluster, 0, 1);
  EXPECT_TRUE(Ejected(*cluster, 0));
  EXPECT_EQ(Draw(*cluster, 100).at(&cluster->hosts()[1]), 100);
}

TEST(Outlier, NeverEjectsMoreThanTheShareAllows) {
  const ClusterRef cluster = MakeCluster(2, SeedOutlier());
  Fail(*cluster, 0, 5);
  Fail(*cluster, 1, 5);
  EXPECT_TRUE(Ejected(*cluster, 0));
  EXPECT_FALSE(Ejected(*cluster, 1));
  EXPECT_EQ(cluster->stats().ejection_overflow, 1u);
}

TEST(Outlier, TenPercentOfNineHostsIsNone) {
  ClusterOptions options = SeedOutlier();
  options.outlier->max_ejection_percent = 10;
  const ClusterRef cluster = MakeCluster(9, options);
  Fail(*cluster, 0, 5);
  EXPECT_FALSE(Ejected(*cluster, 0));
}

TEST(Outlier, TakesAHostBackAndEjectsItLongerTheNextTime) {
  const ClusterRef cluster = MakeCluster(2, SeedOutlier());
  Fail(*cluster, 0, 5);
  Sweep(*cluster, kStart + absl::Seconds(29));
  EXPECT_TRUE(Ejected(*cluster, 0));
  const absl::Time back = kStart + absl::Seconds(30);
  Sweep(*cluster, back);
  EXPECT_FALSE(Ejected(*cluster, 0));
  Fail(*cluster, 0, 5, back);
  Sweep(*cluster, back + absl::Seconds(59));
  EXPECT_TRUE(Ejected(*cluster, 0));
  Sweep(*cluster, back + absl::Seconds(60));
  EXPECT_FALSE(Ejected(*cluster, 0));
  // Two quiet intervals: forgotten.
  Sweep(*cluster, back + absl::Seconds(90));
  Sweep(*cluster, back + absl::Seconds(120));
  EXPECT_EQ(cluster->hosts()[0].stats->times_ejected, 0u);
}

TEST(Outlier, AHostThatLeftTakesItsEjectionWithIt) {
  const ClusterRef before = MakeCluster(2, SeedOutlier());
  Fail(*before, 0, 5);
  ASSERT_TRUE(Ejected(*before, 0));
  std::vector<Host> hosts = {before->hosts()[1], before->hosts()[1]};
  hosts[1].address = *SocketAddress::Parse("10.0.0.9:80");
  hosts[1].stats = std::make_shared<HostStats>();
  const Cluster after("c", SeedOutlier(), hosts, before->shared_stats());
  Fail(after, 1, 5);
  EXPECT_TRUE(Ejected(after, 1));
}

TEST(Outlier, WithoutTheRuleNobodyStaysEjected) {
  const ClusterRef cluster = MakeCluster(1, [] {
    ClusterOptions options = SeedOutlier();
    options.outlier->max_ejection_percent = 100;
    return options;
  }());
  Fail(*cluster, 0, 5);
  EXPECT_EQ(Draw(*cluster, 1).count(nullptr), 1u);
  const Cluster without("c", {}, {cluster->hosts()[0]}, cluster->shared_stats());
  EXPECT_EQ(Draw(without, 1).count(&without.hosts()[0]), 1u);
}

TEST(Outlier, LocalFailuresCountAsResponsesUnlessSplit) {
  const ClusterRef cluster = MakeCluster(2, SeedOutlier());
  for (int i = 0; i < 5; ++i) {
    ReportFailure(*cluster, cluster->hosts()[0], LocalFailure::kConnect, kStart);
  }
  EXPECT_TRUE(Ejected(*cluster, 0));

  ClusterOptions options = SeedOutlier();
  options.outlier->split_local = true;
  options.outlier->consecutive_local = 2;
  const ClusterRef split = MakeCluster(2, options);
  ReportFailure(*split, split->hosts()[0], LocalFailure::kReset, kStart);
  ReportStatus(*split, split->hosts()[0], 503, kStart);  // an answer: the way is fine
  ReportFailure(*split, split->hosts()[0], LocalFailure::kReset, kStart);
  EXPECT_FALSE(Ejected(*split, 0));
  ReportFailure(*split, split->hosts()[0], LocalFailure::kReset, kStart);
  EXPECT_TRUE(Ejected(*split, 0));
}

TEST(Outlier, GatewayErrorsHaveTheirOwnCount) {
  ClusterOptions options = SeedOutlier();
  options.outlier->consecutive_gateway = 2;
  const ClusterRef cluster = MakeCluster(2, options);
  ReportStatus(*cluster, cluster->hosts()[0], 503, kStart);
  ReportStatus(*cluster, cluster->hosts()[0], 500, kStart);
  ReportStatus(*cluster, cluster->hosts()[0], 503, kStart);
  EXPECT_FALSE(Ejected(*cluster, 0));
  ReportStatus(*cluster, cluster->hosts()[0], 504, kStart);
  EXPECT_TRUE(Ejected(*cluster, 0));
}

TEST(Outlier, PanicIgnoresHealthBelowTheShare) {
  ClusterOptions options = SeedOutlier();
  options.outlier->max_ejection_percent = 100;
  options.outlier->min_health_percent = 60;
  const ClusterRef cluster = MakeCluster(2, options);
  EXPECT_FALSE(InPanic(*cluster));
  Fail(*cluster, 0, 5);
  EXPECT_TRUE(InPanic(*cluster));
  EXPECT_EQ(Draw(*cluster, 200).size(), 2u);
}

}  // namespace
}  // namespace mesh::lb
