#include "ztunnel/cmd/settings.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "ztunnel/base/status.h"

namespace mesh::cmd {
namespace {

// Reads variables into fields; keeps the first error and goes on, so that each line below is one
// setting.
class Reader {
 public:
  explicit Reader(const Environment& environment) : environment_(environment) {}

  const std::string* Find(const std::string& name) const {
    const auto it = environment_.find(name);
    return it == environment_.end() ? nullptr : &it->second;
  }
  void Text(const std::string& name, std::string& field) const {
    if (const auto* value = Find(name)) field = *value;
  }
  void Bool(const std::string& name, bool& field) {
    const auto* value = Find(name);
    if (value == nullptr || value->empty()) return;
    if (*value == "true" || *value == "1") {
      field = true;
    } else if (*value == "false" || *value == "0") {
      field = false;
    } else {
      Fail(name, *value, "true or false");
    }
  }
  template <typename T>
  void Number(const std::string& name, T& field, T min, T max) {
    const auto* value = Find(name);
    if (value != nullptr && !value->empty()) NumberIn(name, *value, field, min, max);
  }
  template <typename T>
  void NumberIn(const std::string& name, const std::string& value, T& field, T min, T max) {
    T number{};
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc() || end != value.data() + value.size() || number < min ||
        number > max) {
      Fail(name, value, fmt::format("a number from {} to {}", min, max));
      return;
    }
    field = number;
  }
  void Duration(const std::string& name, absl::Duration& field) {
    const auto* value = Find(name);
    if (value == nullptr || value->empty()) return;
    absl::Duration duration;
    if (!absl::ParseDuration(*value, &duration) || duration < absl::ZeroDuration()) {
      Fail(name, *value, "a duration such as 30s or 5m");
      return;
    }
    field = duration;
  }
  void WithPrefix(const std::string& prefix, std::map<std::string, std::string>& headers) const {
    for (auto it = environment_.lower_bound(prefix);
         it != environment_.end() && it->first.starts_with(prefix); ++it) {
      std::string name = it->first.substr(prefix.size());
      std::transform(name.begin(), name.end(), name.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      });
      if (!name.empty()) headers.emplace(std::move(name), it->second);
    }
  }
  void Fail(const std::string& name, const std::string& value, std::string_view wanted) {
    if (error_.ok()) error_ = Invalid("{}={} is not {}", name, Quoted(value), wanted);
  }
  const absl::Status& error() const { return error_; }

 private:
  const Environment& environment_;
  absl::Status error_;
};

void ReadServers(Reader& in, Settings& s) {
  const std::string default_address = in.Find("KUBERNETES_SERVICE_HOST") != nullptr
                                          ? "https://istiod.istio-system.svc:15012"
                                          : "https://localhost:15012";
  s.xds.address = s.ca.address = default_address;
  s.xds.root_ca = s.ca.root_ca = "./var/run/secrets/istio/root-cert.pem";
  in.Text("XDS_ADDRESS", s.xds.address);
  in.Text("CA_ADDRESS", s.ca.address);
  in.Text("XDS_ROOT_CA", s.xds.root_ca);
  in.Text("CA_ROOT_CA", s.ca.root_ca);
  in.Text("ALT_XDS_HOSTNAME", s.xds.alt_hostname);
  in.Text("ALT_CA_HOSTNAME", s.ca.alt_hostname);
  in.WithPrefix("XDS_HEADER_", s.xds.headers);
  in.WithPrefix("CA_HEADER_", s.ca.headers);
  for (const auto& [name, server] :
       {std::pair("XDS_ADDRESS", &s.xds), std::pair("CA_ADDRESS", &s.ca)}) {
    const std::string& address = server->address;
    if (!address.empty() && !address.starts_with("https://")) {
      in.Fail(name, address, "an address such as https://host:15012");
    }
  }
  std::string token = "./var/run/secrets/tokens/istio-token";
  in.Text("AUTH_TOKEN", token);
  s.xds.token_file = s.ca.token_file = token;
  in.Duration("SECRET_TTL", s.secret_ttl);
}

void ReadDataPath(Reader& in, Settings& s) {
  tunnel::Config& t = s.tunnel;
  in.Text("ISTIO_META_CLUSTER_ID", t.cluster_id);
  in.Text("CLUSTER_ID", t.cluster_id);
  s.xds.cluster_id = s.ca.cluster_id = t.cluster_id;
  in.Text("NETWORK", t.network);
  in.Text("TRUST_DOMAIN", t.trust_domain);
  if (t.trust_domain.empty()) t.trust_domain = "cluster.local";
  in.Number<uint32_t>("PACKET_MARK", t.packet_mark, 1, 0xffffffff);
  in.Bool("INPOD_PORT_REUSE", t.reuse_port);
  in.Bool("ENABLE_ORIG_SRC", t.original_source);
  in.Bool("IPV6_ENABLED", t.ipv6);
  in.Bool("LOCALHOST_APP_TUNNEL", t.localhost_app_tunnel);
  in.Bool("ENABLE_RESPONSE_BAGGAGE", t.response_baggage);
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
void ReadTerminationDeadline(Reader& in, Settings& s) {
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

void ReadThreads(Reader& in, Settings& s, int cpus) {
  int limit = cpus;
  in.Number<int>("ZTUNNEL_RESOURCE_CPU_LIMIT", limit, 1, 4096);
  in.Number<int>("ZTUNNEL_CPU_LIMIT", limit, 1, 4096);
  const auto share = [&](int percent) {
    return static_cast<int>(std::ceil(limit * percent / 100.0));
  };
  s.worker_threads = std::max(2, share(25));
  const std::string* value = in.Find("ZTUNNEL_WORKER_THREADS");
  if (value == nullptr || value->empty()) return;
  std::string_view text = *value;
  const bool percent = text.ends_with('%');
  if (percent) text.remove_suffix(1);
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 1 || number > 1024) {
    in.Fail("ZTUNNEL_WORKER_THREADS", *value, "a number of threads or a percentage of CPUs");
    return;
  }
  s.worker_threads = percent ? std::max(1, share(number)) : number;
}

void ReadNames(Reader& in, Settings& s) {
  in.Text("CLUSTER_DOMAIN", s.cluster_domain);
  in.Text("NODE_NAME", s.node_name);
  s.tunnel.node_name = s.node_name;
  in.Text("POD_NAME", s.pod_name);
  in.Text("POD_NAMESPACE", s.pod_namespace);
  in.Text("INSTANCE_IP", s.instance_ip);
  in.Text("SERVICE_ACCOUNT", s.service_account);
  in.Text("INPOD_UDS", s.zds_socket);
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
  in.Text("RUST_LOG", s.log_level);
  in.Text("ISTIO_META_ISTIO_VERSION", s.version_tag);
  in.Text("MESH_STATE_CACHE", s.state_cache_path);
  in.Number<size_t>("MESH_METRICS_SERIES_LIMIT", s.metrics_series_limit, 16, 10'000'000);
  std::string format = "plain";
  in.Text("LOG_FORMAT", format);
  if (format != "plain" && format != "json" && !format.empty()) {
    in.Fail("LOG_FORMAT", format, "plain or json");
  }
  s.log_format = format == "json" ? LogFormat::kJson : LogFormat::kPlain;
  // What this proxy does not do is refused rather than done otherwise in silence.
  std::string mode = "shared";
  in.Text("PROXY_MODE", mode);
  if (mode != "shared" && !mode.empty())
    in.Fail("PROXY_MODE", mode, "shared, the only mode supported");
  for (const char* name : {"CRL_PATH", "COMPLIANCE_POLICY", "LOCAL_XDS", "LOCAL_XDS_PATH"}) {
    const auto* value = in.Find(name);
    if (value != nullptr && !value->empty()) in.Fail(name, *value, "supported");
  }
  for (const char* name : {"UNSTABLE_ENABLE_SOCKS5", "FAKE_CA"}) {
    bool wanted = false;
    in.Bool(name, wanted);
    if (wanted) in.Fail(name, "true", "supported");
  }
}

}  // namespace

absl::StatusOr<Settings> Settings::FromEnvironment(const Environment& environment, int cpus) {
  Settings settings;
  Reader in(environment);
  ReadServers(in, settings);
  ReadDataPath(in, settings);
  ReadTerminationDeadline(in, settings);
  ReadThreads(in, settings, cpus);
  ReadNames(in, settings);
  RETURN_IF_ERROR(in.error());
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

}  // namespace mesh::cmd
