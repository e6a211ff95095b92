#include "ztunnel/cmd/settings.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "ztunnel/base/ip.h"
#include "ztunnel/cmd/settings_reader.h"
#include "ztunnel/core/identity/key_exchange.h"

namespace mesh::cmd {
namespace {

// host:port means https; nothing else is spoken.
void ReadScheme(SettingsReader& in, const char* name, std::string& address) {
  if (address.empty()) return;
  if (address.find("://") == std::string::npos) address = "https://" + address;
  if (!address.starts_with("https://")) {
    in.Fail(name, address, "an address such as https://host:15012");
  }
}

void ReadServers(SettingsReader& in, Settings& s) {
  const std::string default_address = in.Find("KUBERNETES_SERVICE_HOST") != nullptr
                                          ? "https://istiod.istio-system.svc:15012"
                                          : "https://localhost:15012";
  s.xds.address = s.ca.address = default_address;
  s.xds.root_ca = s.ca.root_ca = "./var/run/secrets/istio/root-cert.pem";
  in.Text("XDS_ADDRESS", s.xds.address);
  in.Text("CA_ADDRESS", s.ca.address);
  in.Name("XDS_ROOT_CA", s.xds.root_ca);
  in.Name("CA_ROOT_CA", s.ca.root_ca);
  in.Text("ALT_XDS_HOSTNAME", s.xds.alt_hostname);
  in.Text("ALT_CA_HOSTNAME", s.ca.alt_hostname);
  in.WithPrefix("XDS_HEADER_", s.xds.headers);
  in.WithPrefix("CA_HEADER_", s.ca.headers);
  ReadScheme(in, "XDS_ADDRESS", s.xds.address);
  ReadScheme(in, "CA_ADDRESS", s.ca.address);
  std::string token = "./var/run/secrets/tokens/istio-token";
  in.Text("AUTH_TOKEN", token);
  s.xds.token_file = s.ca.token_file = token;
  in.Duration("SECRET_TTL", s.secret_ttl);
  in.Bool("FAKE_CA", s.fake_ca);
  in.Text("LOCAL_XDS", s.local_xds);
  if (s.local_xds.empty()) in.Text("LOCAL_XDS_PATH", s.local_xds_path);
}

void ReadTls(SettingsReader& in, Settings& s) {
  in.Text("CRL_PATH", s.crl_path);
  const std::string_view policy = in.Value("COMPLIANCE_POLICY");
  if (policy == "pqc") {
    s.key_exchange = identity::kPostQuantum;
    if (const absl::Status status = identity::CheckKeyExchange(s.key_exchange); !status.ok()) {
      in.Refuse("COMPLIANCE_POLICY",
                fmt::format("{}; OpenSSL 3.5 is the first that has it", MessageOf(status)));
    }
  } else if (policy.starts_with("fips-")) {
    in.Refuse("COMPLIANCE_POLICY", "this build's cryptography is no validated module");
  } else if (!policy.empty()) {
    in.Fail("COMPLIANCE_POLICY", std::string(policy), "pqc");
  }
  bool tls12 = false;
  in.Bool("TLS12_ENABLED", tls12);
  if (tls12) {
    in.Refuse("TLS12_ENABLED", "tunnels are TLS 1.3 and nothing older, which every peer speaks");
  }
}

void ReadDataPath(SettingsReader& in, Settings& s) {
  tunnel::Config& t = s.tunnel;
  in.Name("ISTIO_META_CLUSTER_ID", t.cluster_id);
  in.Name("CLUSTER_ID", t.cluster_id);
  s.xds.cluster_id = s.ca.cluster_id = t.cluster_id;
  in.Text("NETWORK", t.network);
  in.Name("TRUST_DOMAIN", t.trust_domain);
  in.Number<uint32_t>("PACKET_MARK", t.packet_mark, 1, 0xffffffff);
  in.Bool("INPOD_PORT_REUSE", t.reuse_port);
  in.Bool("ENABLE_ORIG_SRC", t.original_source);
  in.Bool("IPV6_ENABLED", t.ipv6);
  in.Bool("LOCALHOST_APP_TUNNEL", t.localhost_app_tunnel);
  in.Bool("ENABLE_RESPONSE_BAGGAGE", t.response_baggage);
  in.Bool("AUTHZ_POLICY_INFO_LOGGING", t.policy_info_logging);
  in.Bool("MESH_FORCE_ENCRYPTION", t.force_encryption);
  in.Text("MESH_TUNNEL_CONGESTION_CONTROL", t.tunnel_congestion_control);
  size_t streams = t.pool_max_streams;
  in.Number<size_t>("POOL_MAX_STREAMS_PER_CONNECTION", streams, 1, 100'000);
  t.pool_max_streams = static_cast<uint32_t>(streams);
  in.Duration("POOL_UNUSED_RELEASE_TIMEOUT", t.pool_idle);
  // Bounds of HTTP/2 (RFC 9113, 6.5.2 and 6.9.1).
  in.Number<uint32_t>("HTTP2_STREAM_WINDOW_SIZE", t.stream_window_bytes, 65'535, 0x7fffffff);
  in.Number<uint32_t>("HTTP2_CONNECTION_WINDOW_SIZE", t.connection_window_bytes, 65'535,
                      0x7fffffff);
  in.Number<uint32_t>("HTTP2_FRAME_SIZE", t.frame_bytes, 16'384, 16'777'215);
  in.Bool("KEEPALIVE_ENABLED", t.keepalive);
  in.Duration("KEEPALIVE_TIME", t.keepalive_time);
  in.Duration("KEEPALIVE_INTERVAL", t.keepalive_interval);
  in.Number<int>("KEEPALIVE_RETRIES", t.keepalive_retries, 1, 127);
  in.Bool("USER_TIMEOUT_ENABLED", t.user_timeout);
}

// What the pod's grace period leaves for connections to end by themselves.
void ReadTerminationDeadline(SettingsReader& in, Settings& s) {
  absl::Duration explicit_deadline = absl::InfiniteDuration();
  in.Duration("CONNECTION_TERMINATION_DEADLINE", explicit_deadline);
  int64_t grace = 0;
  in.Number<int64_t>("TERMINATION_GRACE_PERIOD_SECONDS", grace, 0, 1'000'000);
  if (explicit_deadline != absl::InfiniteDuration()) {
    s.termination_deadline = explicit_deadline;
  } else if (grace > 10) {
    s.termination_deadline = absl::Seconds(grace - 5);
  } else if (grace > 0) {
    s.termination_deadline = absl::Seconds(std::max<int64_t>(1, grace - 1));
  }
}

// CPUs as Kubernetes writes them ("2", "1.5", "500m"), rounded up.
int ReadCpus(SettingsReader& in, const char* name, int otherwise) {
  std::string_view text = in.Value(name);
  if (text.empty()) return otherwise;
  const bool milli = text.ends_with('m');
  if (milli) text.remove_suffix(1);
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (milli) number /= 1000;
  if (error != std::errc() || end != text.data() + text.size() || !(number > 0 && number <= 4096)) {
    in.Fail(name, std::string(in.Value(name)), "a number of CPUs such as 2 or 500m");
    return otherwise;
  }
  return static_cast<int>(std::ceil(number));
}

void ReadThreads(SettingsReader& in, Settings& s, int cpus) {
  int limit = ReadCpus(in, "ZTUNNEL_RESOURCE_CPU_LIMIT", cpus);
  limit = ReadCpus(in, "ZTUNNEL_CPU_LIMIT", limit);
  const int request = ReadCpus(in, "ZTUNNEL_RESOURCE_CPU_REQUEST", 0);
  const auto share = [&](int percent) {
    return static_cast<int>(std::ceil(limit * percent / 100.0));
  };
  s.worker_threads = std::max({2, share(25), request});
  std::string_view text = in.Value("ZTUNNEL_WORKER_THREADS");
  if (text.empty()) return;
  const bool percent = text.ends_with('%');
  if (percent) text.remove_suffix(1);
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 1 || number > 1024) {
    in.Fail("ZTUNNEL_WORKER_THREADS", std::string(in.Value("ZTUNNEL_WORKER_THREADS")),
            "a number of threads or a percentage of CPUs");
    return;
  }
  s.worker_threads = percent ? std::max(1, share(number)) : number;
}

// Ways of running that this proxy does not have.
void RefuseModes(SettingsReader& in) {
  const std::string_view mode = in.Value("PROXY_MODE");
  if (mode == "dedicated") {
    in.Refuse("PROXY_MODE", "one proxy serves all pods of a node (shared)");
  } else if (!mode.empty() && mode != "shared") {
    in.Fail("PROXY_MODE", std::string(mode), "shared");
  }
  bool proxy = true;
  in.Bool("ENABLE_PROXY", proxy);
  if (!proxy) in.Refuse("ENABLE_PROXY", "there is nothing to run without the data path");
  bool socks = false;
  in.Bool("UNSTABLE_ENABLE_SOCKS5", socks);
  if (socks) in.Refuse("UNSTABLE_ENABLE_SOCKS5", "there is no SOCKS5 listener");
}

void ReadLogging(SettingsReader& in, Settings& s) {
  in.Text("RUST_LOG", s.log_level);
  const std::string_view format = in.Value("LOG_FORMAT");
  if (format != "plain" && format != "json" && !format.empty()) {
    in.Fail("LOG_FORMAT", std::string(format), "plain or json");
  }
  s.log_format = format == "json" ? LogFormat::kJson : LogFormat::kPlain;
}

void ReadNames(SettingsReader& in, Settings& s) {
  in.Name("CLUSTER_DOMAIN", s.cluster_domain);
  in.Text("NODE_NAME", s.node_name);
  s.tunnel.node_name = s.node_name;
  in.Text("POD_NAME", s.pod_name);
  in.Text("POD_NAMESPACE", s.pod_namespace);
  in.Text("INSTANCE_IP", s.instance_ip);
  if (!s.instance_ip.empty() && !IpAddress::Parse(s.instance_ip)) {
    in.Fail("INSTANCE_IP", s.instance_ip, "an IP address");
  }
  in.Text("SERVICE_ACCOUNT", s.service_account);
  in.Name("INPOD_UDS", s.zds_socket);
  in.Bool("ISTIO_META_DNS_CAPTURE", s.dns);
  if (const auto* address = in.Find("ISTIO_META_DNS_PROXY_ADDR"); address != nullptr) {
    const size_t colon = address->rfind(':');
    const std::string port = colon == std::string::npos ? *address : address->substr(colon + 1);
    in.NumberIn("ISTIO_META_DNS_PROXY_ADDR", port, s.dns_port, uint16_t{1}, uint16_t{65'535});
  }
  in.Bool("XDS_ON_DEMAND", s.xds_on_demand);
  // Names cannot be answered from a state that holds only what was asked for by address.
  if (s.xds_on_demand && s.dns) {
    in.Fail("XDS_ON_DEMAND", "true", "supported unless ISTIO_META_DNS_CAPTURE=false");
  }
  in.Text("PREFERED_SERVICE_NAMESPACE", s.preferred_namespace);
  in.Text("MESH_RESOLV_CONF", s.resolv_conf);
  in.Number<uint16_t>("MESH_ADMIN_PORT", s.admin_port, 0, 65'535);
  in.Number<uint16_t>("MESH_STATS_PORT", s.stats_port, 0, 65'535);
  in.Number<uint16_t>("MESH_READINESS_PORT", s.readiness_port, 0, 65'535);
  in.Text("ISTIO_META_ISTIO_VERSION", s.version_tag);
  in.Text("MESH_STATE_CACHE", s.state_cache_path);
  in.Number<size_t>("MESH_METRICS_SERIES_LIMIT", s.metrics_series_limit, 16, 10'000'000);
}

}  // namespace

absl::StatusOr<Settings> Settings::FromEnvironment(const Environment& environment, int cpus) {
  Settings settings;
  SettingsReader in(environment);
  RefuseModes(in);
  ReadServers(in, settings);
  ReadTls(in, settings);
  ReadDataPath(in, settings);
  ReadTerminationDeadline(in, settings);
  ReadThreads(in, settings, cpus);
  ReadNames(in, settings);
  ReadLogging(in, settings);
  RETURN_IF_ERROR(in.error());
  constexpr std::string_view kMetadata = "ISTIO_META_";
  for (auto it = environment.lower_bound(std::string(kMetadata));
       it != environment.end() && it->first.starts_with(kMetadata); ++it) {
    settings.proxy_metadata.emplace(it->first.substr(kMetadata.size()), it->second);
  }
  if (settings.dns) settings.tunnel.illegal_ports.push_back(settings.dns_port);
  return settings;
}

Environment CurrentEnvironment() {
  Environment out;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const size_t equals = text.find('=');
    if (equals != std::string_view::npos) {
      out.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
  }
  return out;
}

xds::NodeInfo NodeInfoOf(const Settings& settings, const Environment& environment) {
  xds::NodeInfo info;
  info.instance_ip = settings.instance_ip;
  info.pod_name = settings.pod_name;
  info.pod_namespace = settings.pod_namespace;
  info.node_name = settings.node_name;
  info.service_account = settings.service_account;
  info.cluster_id = settings.tunnel.cluster_id;
  info.network = settings.tunnel.network;
  info.environment = environment;
  return info;
}

}  // namespace mesh::cmd
