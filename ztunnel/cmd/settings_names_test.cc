// Every setting that Istio's ztunnel has: what a value of it does here, or why it is refused.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "ztunnel/base/status.h"
#include "ztunnel/cmd/settings.h"
#include "ztunnel/core/identity/key_exchange.h"
#include "ztunnel/core/xds/node_metadata.h"

namespace mesh::cmd {
namespace {

// Names that end in '*' stand for all that begin so.
constexpr const char* kNames[] = {"XDS_ADDRESS",
                                  "CA_ADDRESS",
                                  "XDS_ROOT_CA",
                                  "CA_ROOT_CA",
                                  "ALT_XDS_HOSTNAME",
                                  "ALT_CA_HOSTNAME",
                                  "XDS_HEADER_*",
                                  "CA_HEADER_*",
                                  "AUTH_TOKEN",
                                  "CLUSTER_ID",
                                  "ISTIO_META_CLUSTER_ID",
                                  "CLUSTER_DOMAIN",
                                  "NETWORK",
                                  "TRUST_DOMAIN",
                                  "NODE_NAME",
                                  "POD_NAME",
                                  "POD_NAMESPACE",
                                  "INSTANCE_IP",
                                  "SERVICE_ACCOUNT",
                                  "PROXY_MODE",
                                  "PROXY_WORKLOAD_INFO",
                                  "PACKET_MARK",
                                  "INPOD_UDS",
                                  "INPOD_PORT_REUSE",
                                  "ENABLE_PROXY",
                                  "ENABLE_ORIG_SRC",
                                  "IPV6_ENABLED",
                                  "ISTIO_META_DNS_CAPTURE",
                                  "ISTIO_META_DNS_PROXY_ADDR",
                                  "PREFERED_SERVICE_NAMESPACE",
                                  "XDS_ON_DEMAND",
                                  "LOCAL_XDS",
                                  "LOCAL_XDS_PATH",
                                  "FAKE_CA",
                                  "SECRET_TTL",
                                  "POOL_MAX_STREAMS_PER_CONNECTION",
                                  "POOL_UNUSED_RELEASE_TIMEOUT",
                                  "HTTP2_STREAM_WINDOW_SIZE",
                                  "HTTP2_CONNECTION_WINDOW_SIZE",
                                  "HTTP2_FRAME_SIZE",
                                  "KEEPALIVE_ENABLED",
                                  "KEEPALIVE_TIME",
                                  "KEEPALIVE_INTERVAL",
                                  "KEEPALIVE_RETRIES",
                                  "USER_TIMEOUT_ENABLED",
                                  "CONNECTION_TERMINATION_DEADLINE",
                                  "TERMINATION_GRACE_PERIOD_SECONDS",
                                  "LOCALHOST_APP_TUNNEL",
                                  "ENABLE_RESPONSE_BAGGAGE",
                                  "AUTHZ_POLICY_INFO_LOGGING",
                                  "TLS12_ENABLED",
                                  "COMPLIANCE_POLICY",
                                  "CRL_PATH",
                                  "UNSTABLE_ENABLE_SOCKS5",
                                  "ZTUNNEL_WORKER_THREADS",
                                  "ZTUNNEL_CPU_LIMIT",
                                  "ZTUNNEL_RESOURCE_CPU_LIMIT",
                                  "ZTUNNEL_RESOURCE_CPU_REQUEST",
                                  "RUST_LOG",
                                  "LOG_FORMAT",
                                  "PROXY_CONFIG",
                                  "ISTIO_META_*",
                                  "ISTIO_METAJSON_*"};

struct Row {
  std::string name;
  std::string value;
  std::function<bool(const Settings&)> honoured;  // null: refused
  std::string refusal = "";                       // the whole message
};

absl::StatusOr<Settings> Read(const Row& row) {
  auto environment = WithProxyConfig({{row.name, row.value}}, std::nullopt);
  if (!environment.ok()) return environment.status();
  if (row.name == "XDS_ON_DEMAND") (*environment)["ISTIO_META_DNS_CAPTURE"] = "false";
  return Settings::FromEnvironment(*environment, 8);
}

#define HONOURED(expression) []([[maybe_unused]] const Settings& s) { return expression; }

// What the control plane is told of a variable.
std::string Metadata(const std::string& name, const std::string& value, const std::string& key) {
  xds::NodeInfo info;
  info.environment = {{name, value}};
  const auto node = xds::MakeNode(info);
  const auto it = node.metadata().fields().find(key);
  return it == node.metadata().fields().end() ? "absent" : it->second.ShortDebugString();
}

std::vector<Row> ControlPlaneRows() {
  return {
      {"XDS_ADDRESS", "https://c:1", HONOURED(s.xds.address == "https://c:1")},
      {"XDS_ADDRESS", "c:15012", HONOURED(s.xds.address == "https://c:15012")},
      {"XDS_ADDRESS", "", HONOURED(s.xds.address.empty())},
      {"XDS_ADDRESS", "http://c:1", nullptr,
       "XDS_ADDRESS=\"http://c:1\" is not an address such as https://host:15012"},
      {"CA_ADDRESS", "c:1", HONOURED(s.ca.address == "https://c:1")},
      {"CA_ADDRESS", "http://c:1", nullptr,
       "CA_ADDRESS=\"http://c:1\" is not an address such as https://host:15012"},
      {"XDS_ROOT_CA", "SYSTEM", HONOURED(s.xds.root_ca == "SYSTEM")},
      {"XDS_ROOT_CA", "", HONOURED(s.xds.root_ca == "./var/run/secrets/istio/root-cert.pem")},
      {"CA_ROOT_CA", "/root.pem", HONOURED(s.ca.root_ca == "/root.pem")},
      {"ALT_XDS_HOSTNAME", "x", HONOURED(s.xds.alt_hostname == "x")},
      {"ALT_CA_HOSTNAME", "x", HONOURED(s.ca.alt_hostname == "x")},
      {"XDS_HEADER_X-A", "1", HONOURED(s.xds.headers.at("x-a") == "1" && s.ca.headers.empty())},
      {"CA_HEADER_X-A", "1", HONOURED(s.ca.headers.at("x-a") == "1" && s.xds.headers.empty())},
      {"AUTH_TOKEN", "/token",
       HONOURED(s.xds.token_file == "/token" && s.ca.token_file == "/token")},
      {"SECRET_TTL", "1h", HONOURED(s.secret_ttl == absl::Hours(1))},
      {"SECRET_TTL", "soon", nullptr, "SECRET_TTL=\"soon\" is not a duration such as 30s or 5m"},
      {"XDS_ON_DEMAND", "true", HONOURED(s.xds_on_demand)},
      {"FAKE_CA", "true", HONOURED(s.fake_ca)},
      {"LOCAL_XDS", "workloads: []", HONOURED(s.local_xds == "workloads: []")},
      {"LOCAL_XDS_PATH", "/x", HONOURED(s.local_xds_path == "/x")},
      {"PROXY_CONFIG", "discoveryAddress: d:1", HONOURED(s.xds.address == "https://d:1")},
      {"PROXY_CONFIG", "proxyAdminPort: 5", HONOURED(s.admin_port == 5)},
      {"PROXY_CONFIG", "statusPort: 5", HONOURED(s.stats_port == 5)},
      {"PROXY_CONFIG", "concurrency: 5", HONOURED(s.worker_threads == 5)},
      {"PROXY_CONFIG", "proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'false'}", HONOURED(!s.dns)},
      {"PROXY_CONFIG", "[", nullptr,
       "PROXY_CONFIG: not YAML: end of sequence flow not found (column 1)"},
      {"ISTIO_META_COLOUR", "blue",
       HONOURED(Metadata("ISTIO_META_COLOUR", "blue", "COLOUR") == "string_value: \"blue\"")},
      {"ISTIO_METAJSON_N", "3",
       HONOURED(Metadata("ISTIO_METAJSON_N", "3", "N") == "number_value: 3")},
      {"ISTIO_METAJSON_N", "{", HONOURED(Metadata("ISTIO_METAJSON_N", "{", "N") == "absent")},
  };
}

std::vector<Row> NameRows() {
  return {
      {"CLUSTER_ID", "c",
       HONOURED(s.tunnel.cluster_id == "c" && s.xds.cluster_id == "c" && s.ca.cluster_id == "c")},
      {"CLUSTER_ID", "", HONOURED(s.tunnel.cluster_id == "Kubernetes")},
      {"ISTIO_META_CLUSTER_ID", "c", HONOURED(s.tunnel.cluster_id == "c")},
      {"CLUSTER_DOMAIN", "d", HONOURED(s.cluster_domain == "d")},
      {"NETWORK", "n", HONOURED(s.tunnel.network == "n")},
      {"TRUST_DOMAIN", "t", HONOURED(s.tunnel.trust_domain == "t")},
      {"NODE_NAME", "n", HONOURED(s.node_name == "n" && s.tunnel.node_name == "n")},
      {"POD_NAME", "p", HONOURED(s.pod_name == "p")},
      {"POD_NAMESPACE", "p", HONOURED(s.pod_namespace == "p")},
      {"SERVICE_ACCOUNT", "p", HONOURED(s.service_account == "p")},
      {"INSTANCE_IP", "10.0.0.1", HONOURED(s.instance_ip == "10.0.0.1")},
      {"INSTANCE_IP", "here", nullptr, "INSTANCE_IP=\"here\" is not an IP address"},
      {"PREFERED_SERVICE_NAMESPACE", "p", HONOURED(s.preferred_namespace == "p")},
      {"ISTIO_META_DNS_CAPTURE", "false", HONOURED(!s.dns)},
      {"ISTIO_META_DNS_PROXY_ADDR", "127.0.0.1:99", HONOURED(s.dns_port == 99)},
      {"ISTIO_META_DNS_PROXY_ADDR", "127.0.0.1:dns", nullptr,
       "ISTIO_META_DNS_PROXY_ADDR=\"dns\" is not a number from 1 to 65535"},
      {"PROXY_MODE", "shared", HONOURED(true)},
      {"PROXY_MODE", "dedicated", nullptr,
       "PROXY_MODE=\"dedicated\" is not supported: one proxy serves all pods of a node (shared)"},
      {"PROXY_MODE", "other", nullptr, "PROXY_MODE=\"other\" is not shared"},
      // Says whom a dedicated proxy serves; a shared one learns it pod by pod.
      {"PROXY_WORKLOAD_INFO", "ns/name/sa", HONOURED(true)},
      {"RUST_LOG", "info,access=debug", HONOURED(s.log_level == "info,access=debug")},
      {"LOG_FORMAT", "json", HONOURED(s.log_format == LogFormat::kJson)},
      {"LOG_FORMAT", "xml", nullptr, "LOG_FORMAT=\"xml\" is not plain or json"},
      {"ZTUNNEL_WORKER_THREADS", "7", HONOURED(s.worker_threads == 7)},
      {"ZTUNNEL_WORKER_THREADS", "50%", HONOURED(s.worker_threads == 4)},
      {"ZTUNNEL_WORKER_THREADS", "0", nullptr,
       "ZTUNNEL_WORKER_THREADS=\"0\" is not a number of threads or a percentage of CPUs"},
      {"ZTUNNEL_CPU_LIMIT", "16", HONOURED(s.worker_threads == 4)},
      {"ZTUNNEL_RESOURCE_CPU_LIMIT", "16", HONOURED(s.worker_threads == 4)},
      {"ZTUNNEL_RESOURCE_CPU_REQUEST", "3500m", HONOURED(s.worker_threads == 4)},
      {"ZTUNNEL_RESOURCE_CPU_REQUEST", "all", nullptr,
       "ZTUNNEL_RESOURCE_CPU_REQUEST=\"all\" is not a number of CPUs such as 2 or 500m"},
  };
}

std::vector<Row> DataPathRows() {
  return {
      {"PACKET_MARK", "7", HONOURED(s.tunnel.packet_mark == 7)},
      {"INPOD_UDS", "/s", HONOURED(s.zds_socket == "/s")},
      {"INPOD_PORT_REUSE", "false", HONOURED(!s.tunnel.reuse_port)},
      {"ENABLE_PROXY", "true", HONOURED(true)},
      {"ENABLE_PROXY", "false", nullptr,
       "ENABLE_PROXY=\"false\" is not supported: there is nothing to run without the data path"},
      {"ENABLE_ORIG_SRC", "false", HONOURED(!s.tunnel.original_source)},
      {"IPV6_ENABLED", "false", HONOURED(!s.tunnel.ipv6)},
      {"IPV6_ENABLED", "maybe", nullptr, "IPV6_ENABLED=\"maybe\" is not true or false"},
      {"POOL_MAX_STREAMS_PER_CONNECTION", "5", HONOURED(s.tunnel.pool_max_streams == 5)},
      {"POOL_UNUSED_RELEASE_TIMEOUT", "1s", HONOURED(s.tunnel.pool_idle == absl::Seconds(1))},
      {"HTTP2_STREAM_WINDOW_SIZE", "70000", HONOURED(s.tunnel.stream_window_bytes == 70'000)},
      {"HTTP2_CONNECTION_WINDOW_SIZE", "70000",
       HONOURED(s.tunnel.connection_window_bytes == 70'000)},
      {"HTTP2_FRAME_SIZE", "20000", HONOURED(s.tunnel.frame_bytes == 20'000)},
      {"HTTP2_FRAME_SIZE", "1", nullptr,
       "HTTP2_FRAME_SIZE=\"1\" is not a number from 16384 to 16777215"},
      {"KEEPALIVE_ENABLED", "false", HONOURED(!s.tunnel.keepalive)},
      {"KEEPALIVE_TIME", "5s", HONOURED(s.tunnel.keepalive_time == absl::Seconds(5))},
      {"KEEPALIVE_INTERVAL", "5s", HONOURED(s.tunnel.keepalive_interval == absl::Seconds(5))},
      {"KEEPALIVE_RETRIES", "5", HONOURED(s.tunnel.keepalive_retries == 5)},
      {"USER_TIMEOUT_ENABLED", "true", HONOURED(s.tunnel.user_timeout)},
      {"CONNECTION_TERMINATION_DEADLINE", "7s",
       HONOURED(s.termination_deadline == absl::Seconds(7))},
      {"TERMINATION_GRACE_PERIOD_SECONDS", "30",
       HONOURED(s.termination_deadline == absl::Seconds(25))},
      {"LOCALHOST_APP_TUNNEL", "false", HONOURED(!s.tunnel.localhost_app_tunnel)},
      {"ENABLE_RESPONSE_BAGGAGE", "false", HONOURED(!s.tunnel.response_baggage)},
      {"AUTHZ_POLICY_INFO_LOGGING", "true", HONOURED(s.tunnel.policy_info_logging)},
      {"UNSTABLE_ENABLE_SOCKS5", "false", HONOURED(true)},
      {"UNSTABLE_ENABLE_SOCKS5", "true", nullptr,
       "UNSTABLE_ENABLE_SOCKS5=\"true\" is not supported: there is no SOCKS5 listener"},
      {"TLS12_ENABLED", "false", HONOURED(true)},
      {"TLS12_ENABLED", "true", nullptr,
       "TLS12_ENABLED=\"true\" is not supported: tunnels are TLS 1.3 and nothing older, which "
       "every "
       "peer speaks"},
      {"CRL_PATH", "/crl", HONOURED(s.crl_path == "/crl")},
      {"COMPLIANCE_POLICY", "", HONOURED(s.key_exchange.empty())},
      {"COMPLIANCE_POLICY", "fips-140-3", nullptr,
       "COMPLIANCE_POLICY=\"fips-140-3\" is not supported: this build's cryptography is no "
       "validated module"},
      {"COMPLIANCE_POLICY", "soc2", nullptr, "COMPLIANCE_POLICY=\"soc2\" is not pqc"},
  };
}

std::vector<Row> AllRows() {
  std::vector<Row> rows = ControlPlaneRows();
  for (const auto& more : {NameRows(), DataPathRows()}) {
    rows.insert(rows.end(), more.begin(), more.end());
  }
  // What it needs is there from OpenSSL 3.5 on.
  const absl::Status post_quantum = identity::CheckKeyExchange(identity::kPostQuantum);
  Row row{"COMPLIANCE_POLICY", "pqc", HONOURED(s.key_exchange == "X25519MLKEM768")};
  if (!post_quantum.ok()) {
    row.honoured = nullptr;
    row.refusal = fmt::format(
        "COMPLIANCE_POLICY=\"pqc\" is not supported: {}; OpenSSL 3.5 is the first that has it",
        MessageOf(post_quantum));
  }
  rows.push_back(row);
  return rows;
}

TEST(SettingsNames, EachValueIsHonouredOrRefusedByNameAndReason) {
  for (const Row& row : AllRows()) {
    SCOPED_TRACE(row.name + "=" + row.value);
    const absl::StatusOr<Settings> settings = Read(row);
    if (row.honoured == nullptr) {
      EXPECT_EQ(MessageOf(settings.status()), row.refusal);
    } else if (settings.ok()) {
      EXPECT_TRUE(row.honoured(*settings));
    } else {
      ADD_FAILURE() << settings.status();
    }
  }
}

TEST(SettingsNames, NoneIsForgotten) {
  const std::vector<Row> rows = AllRows();
  for (const std::string name : kNames) {
    const std::string prefix = name.substr(0, name.find('*'));
    EXPECT_TRUE(std::any_of(rows.begin(), rows.end(), [&](const Row& row) {
      return prefix == name ? row.name == name : row.name.starts_with(prefix);
    })) << name;
  }
}

}  // namespace
}  // namespace mesh::cmd
