#include "ztunnel/cmd/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ztunnel/base/status.h"

namespace mesh::cmd {
namespace {

Settings Read(const Environment& environment, int cpus = 8) {
  auto settings = Settings::FromEnvironment(environment, cpus);
  EXPECT_TRUE(settings.ok()) << settings.status();
  return settings.ok() ? *settings : Settings();
}

std::string ErrorOf(const Environment& environment) {
  return std::string(MessageOf(Settings::FromEnvironment(environment, 8).status()));
}

TEST(Settings, DefaultsAreTheDocumentedOnes) {
  const Settings s = Read({});
  EXPECT_EQ(s.xds.address, "https://localhost:15012");
  EXPECT_EQ(s.ca.root_ca, "./var/run/secrets/istio/root-cert.pem");
  EXPECT_EQ(s.zds_socket, "/var/run/ztunnel/ztunnel.sock");
  EXPECT_EQ(s.secret_ttl, absl::Hours(24));
  EXPECT_EQ(s.tunnel.pool_idle, absl::Minutes(5));
  EXPECT_EQ(s.worker_threads, 2);
  EXPECT_EQ(s.termination_deadline, absl::Seconds(5));
  EXPECT_TRUE(s.dns);
  EXPECT_EQ(Read({{"KUBERNETES_SERVICE_HOST", "10.0.0.1"}}).xds.address,
            "https://istiod.istio-system.svc:15012");
}

TEST(Settings, EmptyAddressDisables) { EXPECT_EQ(Read({{"XDS_ADDRESS", ""}}).xds.address, ""); }

TEST(Settings, ReadsValues) {
  const Settings s = Read({{"XDS_ADDRESS", "https://c:15012"},
                           {"POOL_UNUSED_RELEASE_TIMEOUT", "1m30s"},
                           {"HTTP2_STREAM_WINDOW_SIZE", "65535"},
                           {"ISTIO_META_CLUSTER_ID", "from-meta"},
                           {"IPV6_ENABLED", "false"},
                           {"LOG_FORMAT", "json"},
                           {"XDS_HEADER_X-Key", "v"},
                           {"MESH_FORCE_ENCRYPTION", "true"},
                           {"MESH_TUNNEL_CONGESTION_CONTROL", "reno"},
                           {"UNKNOWN_SETTING", "ignored"}});
  EXPECT_EQ(s.tunnel.pool_idle, absl::Seconds(90));
  EXPECT_EQ(s.tunnel.stream_window_bytes, 65'535u);
  EXPECT_EQ(s.tunnel.cluster_id, "from-meta");
  EXPECT_FALSE(s.tunnel.ipv6);
  EXPECT_EQ(s.log_format, LogFormat::kJson);
  EXPECT_EQ(s.xds.headers, (std::map<std::string, std::string>{{"x-key", "v"}}));
  EXPECT_TRUE(s.tunnel.force_encryption);
  EXPECT_EQ(s.tunnel.tunnel_congestion_control, "reno");
  EXPECT_EQ(Read({{"CLUSTER_ID", "a"}, {"ISTIO_META_CLUSTER_ID", "b"}}).tunnel.cluster_id, "a");
}

TEST(Settings, ErrorsNameTheVariableAndTheValue) {
  EXPECT_EQ(ErrorOf({{"IPV6_ENABLED", "maybe"}}), "IPV6_ENABLED=\"maybe\" is not true or false");
  EXPECT_THAT(ErrorOf({{"SECRET_TTL", "1 day"}}), ::testing::StartsWith("SECRET_TTL=\"1 day\""));
  EXPECT_THAT(ErrorOf({{"HTTP2_FRAME_SIZE", "1"}}),
              ::testing::StartsWith("HTTP2_FRAME_SIZE=\"1\""));
  EXPECT_THAT(ErrorOf({{"XDS_ON_DEMAND", "true"}}),
              ::testing::HasSubstr("ISTIO_META_DNS_CAPTURE=false"));
  EXPECT_THAT(ErrorOf({{"ZTUNNEL_WORKER_THREADS", "many"}}),
              ::testing::StartsWith("ZTUNNEL_WORKER_THREADS="));
}

TEST(Settings, OnDemandGoesWithoutTheNameService) {
  EXPECT_FALSE(Read({}).xds_on_demand);
  EXPECT_TRUE(Read({{"XDS_ON_DEMAND", "true"}, {"ISTIO_META_DNS_CAPTURE", "false"}}).xds_on_demand);
}

TEST(Settings, ThreadsAreANumberOrAShareOfTheCpus) {
  EXPECT_EQ(Read({}, 32).worker_threads, 8);
  EXPECT_EQ(Read({{"ZTUNNEL_RESOURCE_CPU_REQUEST", "10"}}, 32).worker_threads, 10);
  EXPECT_EQ(Read({{"ZTUNNEL_RESOURCE_CPU_LIMIT", "15500m"}}, 32).worker_threads, 4);
  EXPECT_EQ(Read({{"ZTUNNEL_WORKER_THREADS", "3"}}, 32).worker_threads, 3);
  EXPECT_EQ(Read({{"ZTUNNEL_WORKER_THREADS", "50%"}}, 32).worker_threads, 16);
  EXPECT_EQ(
      Read({{"ZTUNNEL_WORKER_THREADS", "50%"}, {"ZTUNNEL_CPU_LIMIT", "4"}}, 32).worker_threads, 2);
}

TEST(Settings, TerminationDeadlineFollowsTheGracePeriod) {
  EXPECT_EQ(Read({{"TERMINATION_GRACE_PERIOD_SECONDS", "30"}}).termination_deadline,
            absl::Seconds(25));
  EXPECT_EQ(Read({{"TERMINATION_GRACE_PERIOD_SECONDS", "10"}}).termination_deadline,
            absl::Seconds(9));
  EXPECT_EQ(Read({{"TERMINATION_GRACE_PERIOD_SECONDS", "1"}}).termination_deadline,
            absl::Seconds(1));
  EXPECT_EQ(
      Read({{"TERMINATION_GRACE_PERIOD_SECONDS", "30"}, {"CONNECTION_TERMINATION_DEADLINE", "7s"}})
          .termination_deadline,
      absl::Seconds(7));
}

}  // namespace
}  // namespace mesh::cmd
