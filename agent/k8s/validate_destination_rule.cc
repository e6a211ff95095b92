// The rules of DestinationRule.
#include <fmt/format.h>

#include <map>
#include <set>

#include "agent/k8s/checker.h"
#include "agent/k8s/validate.h"

namespace mesh::k8s {
namespace {

constexpr char kRegionLabel[] = "topology.kubernetes.io/region";

bool IsPrime(uint64_t number) {
  if (number < 2) return false;
  for (uint64_t factor = 2; factor * factor <= number; ++factor) {
    if (number % factor == 0) return false;
  }
  return true;
}

// "eu/*" covers "eu/a" and "eu/a/b"; "eu" the same.
bool LocalitiesOverlap(std::string a, std::string b) {
  const auto prefix = [](std::string& text) {
    if (text.size() >= 2 && text.substr(text.size() - 2) == "/*") text.resize(text.size() - 2);
    text += "/";
  };
  if (a == "*" || b == "*") return true;
  prefix(a);
  prefix(b);
  return a.rfind(b, 0) == 0 || b.rfind(a, 0) == 0;
}

class DestinationRuleChecker : FieldChecker {
 public:
  DestinationRuleChecker(const api::DestinationRule& object, std::vector<Issue>& issues)
      : FieldChecker(issues), object_(object), spec_(object.spec()) {}

  void Run() {
    CheckHost(spec_.host(), "spec.host");
    if (spec_.has_traffic_policy()) CheckPolicy(spec_.traffic_policy(), "spec.trafficPolicy");
    std::set<std::string> names;
    for (int i = 0; i < spec_.subsets_size(); ++i) {
      const api::Subset& subset = spec_.subsets(i);
      const std::string field = fmt::format("spec.subsets[{}]", i);
      if (!IsDnsLabel(subset.name())) {
        Error(field + ".name", fmt::format("\"{}\" is no subset's name", subset.name()));
      }
      if (!names.insert(subset.name()).second) {
        Error(field + ".name", fmt::format("\"{}\" is defined twice", subset.name()));
      }
      CheckLabels(subset.labels(), field + ".labels");
      if (subset.has_traffic_policy()) {
        CheckPolicy(subset.traffic_policy(), field + ".trafficPolicy");
      }
    }
    CheckExportTo(spec_.export_to(), object_.metadata().namespace_());
    CheckWorkloadSelector();
  }

 private:
  void CheckWorkloadSelector() {
    if (spec_.workload_selector().match_labels().empty()) return;
    const std::string& own = object_.metadata().namespace_();
    for (const std::string& value : spec_.export_to()) {
      if (value != "." && value != own) {
        Error("spec.exportTo", "with a workloadSelector only the rule's own namespace");
      }
    }
  }

  void CheckPolicy(const api::TrafficPolicy& policy, const std::string& field) {
    if (policy.ByteSizeLong() == 0) Error(field, "must have at least one field");
    CheckBlocks(policy, field);
    for (int i = 0; i < policy.port_level_settings_size(); ++i) {
      const api::PortTrafficPolicy& entry = policy.port_level_settings(i);
      const std::string at = fmt::format("{}.portLevelSettings[{}]", field, i);
      CheckPort(entry.port().number(), at + ".port.number");
      if (!entry.has_load_balancer() && !entry.has_connection_pool() &&
          !entry.has_outlier_detection() && !entry.has_tls()) {
        Error(at, "must have at least one of loadBalancer, connectionPool, outlierDetection, tls");
      }
      CheckBlocks(entry, at);
    }
    if (policy.has_tunnel()) CheckTunnel(policy, field + ".tunnel");
    if (policy.has_retry_budget()) {
      const double percent = policy.retry_budget().percent();
      if (!(percent >= 0 && percent <= 100)) {
        Error(field + ".retryBudget.percent", "must be between 0 and 100");
      }
      if (!policy.retry_budget().budget_interval().empty()) {
        CheckDuration(policy.retry_budget().budget_interval(),
                      field + ".retryBudget.budgetInterval", true);
      }
    }
  }

  // A policy and an entry for a port have these alike.
  template <typename Policy>
  void CheckBlocks(const Policy& policy, const std::string& field) {
    if (policy.has_connection_pool()) {
      CheckPool(policy.connection_pool(), field + ".connectionPool");
    }
    if (policy.has_outlier_detection()) {
      CheckOutlier(policy.outlier_detection(), field + ".outlierDetection");
    }
    if (policy.has_load_balancer()) {
      CheckLoadBalancer(policy.load_balancer(), policy.has_outlier_detection(),
                        field + ".loadBalancer");
    }
    if (policy.has_tls()) CheckTls(policy.tls(), field + ".tls");
  }

  void CheckCount(int32_t count, const std::string& field) {
    if (count < 0) Error(field, fmt::format("must not be negative: {}", count));
  }
  void CheckOptional(const std::string& text, const std::string& field, bool zero_too = false) {
    if (!text.empty()) CheckDuration(text, field, zero_too);
  }

  void CheckPool(const api::ConnectionPool& pool, const std::string& field) {
    if (!pool.has_tcp() && !pool.has_http()) Error(field, "must have tcp or http");
    const std::string tcp = field + ".tcp.";
    CheckCount(pool.tcp().max_connections(), tcp + "maxConnections");
    CheckOptional(pool.tcp().connect_timeout(), tcp + "connectTimeout");
    CheckOptional(pool.tcp().max_connection_duration(), tcp + "maxConnectionDuration");
    CheckOptional(pool.tcp().idle_timeout(), tcp + "idleTimeout", true);
    CheckOptional(pool.tcp().tcp_keepalive().time(), tcp + "tcpKeepalive.time");
    CheckOptional(pool.tcp().tcp_keepalive().interval(), tcp + "tcpKeepalive.interval");
    const api::HttpSettings& http = pool.http();
    const std::string at = field + ".http.";
    CheckCount(http.http1_max_pending_requests(), at + "http1MaxPendingRequests");
    CheckCount(http.http2_max_requests(), at + "http2MaxRequests");
    CheckCount(http.max_requests_per_connection(), at + "maxRequestsPerConnection");
    CheckCount(http.max_retries(), at + "maxRetries");
    CheckCount(http.max_concurrent_streams(), at + "maxConcurrentStreams");
    CheckOptional(http.idle_timeout(), at + "idleTimeout", true);
    if (http.use_client_protocol() && http.h2_upgrade_policy() == api::HttpSettings::UPGRADE) {
      Error(at + "useClientProtocol", "not beside h2UpgradePolicy UPGRADE");
    }
    if (!http.has_http2_keep_alive()) return;
    CheckDuration(http.http2_keep_alive().interval(), at + "http2KeepAlive.interval");
    CheckDuration(http.http2_keep_alive().timeout(), at + "http2KeepAlive.timeout");
  }

  void CheckOutlier(const api::OutlierDetection& outlier, const std::string& field) {
    CheckOptional(outlier.interval(), field + ".interval");
    CheckOptional(outlier.base_ejection_time(), field + ".baseEjectionTime");
    const auto percent = [&](int32_t value, const char* name) {
      if (value < 0 || value > 100) {
        Error(field + name, fmt::format("must be between 0 and 100, not {}", value));
      }
    };
    percent(outlier.max_ejection_percent(), ".maxEjectionPercent");
    percent(outlier.min_health_percent(), ".minHealthPercent");
    if (outlier.has_consecutive_local_origin_failures() &&
        !outlier.split_external_local_origin_errors()) {
      Error(field + ".consecutiveLocalOriginFailures", "needs splitExternalLocalOriginErrors");
    }
    if (outlier.consecutive_errors() != 0) {
      Warn(field + ".consecutiveErrors",
           "is deprecated: write consecutiveGatewayErrors or consecutive5xxErrors");
    }
    for (int i = 0; i < outlier.outlier_detection_http_error_codes_size(); ++i) {
      const uint32_t code = outlier.outlier_detection_http_error_codes(i);
      if (code < 100 || code > 599) {
        Error(fmt::format("{}.outlierDetectionHttpErrorCodes[{}]", field, i),
              fmt::format("must be between 100 and 599, not {}", code));
      }
    }
  }

  void CheckLoadBalancer(const api::LoadBalancer& lb, bool ejects, const std::string& field) {
    if (lb.has_simple() && lb.has_consistent_hash()) {
      Error(field + ".consistentHash", "not beside simple");
    }
    if (lb.has_consistent_hash()) CheckHash(lb.consistent_hash(), field + ".consistentHash");
    if (lb.has_locality_lb_setting()) {
      CheckLocality(lb.locality_lb_setting(), ejects, field + ".localityLbSetting");
      if (lb.has_zone_aware_lb_setting()) {
        Error(field + ".zoneAwareLbSetting", "not beside localityLbSetting");
      }
    }
    if (lb.has_zone_aware_lb_setting()) {
      Warn(field + ".zoneAwareLbSetting", "is not supported, and does nothing");
    }
    CheckOptional(lb.warmup_duration_secs(), field + ".warmupDurationSecs");
    if (!lb.has_warmup()) return;
    if (!lb.warmup_duration_secs().empty())
      Error(field + ".warmupDurationSecs", "not beside warmup");
    CheckDuration(lb.warmup().duration(), field + ".warmup.duration");
    if (!(lb.warmup().minimum_percent() >= 0 && lb.warmup().minimum_percent() <= 100)) {
      Error(field + ".warmup.minimumPercent", "must be between 0 and 100");
    }
    if (lb.warmup().has_aggression() && !(lb.warmup().aggression() >= 1)) {
      Error(field + ".warmup.aggression", "must be at least 1");
    }
  }

  void CheckHash(const api::ConsistentHash& hash, const std::string& field) {
    const int keys = hash.has_http_header_name() + hash.has_http_cookie() +
                     hash.has_use_source_ip() + hash.has_http_query_parameter_name();
    if (keys != 1) {
      Error(field,
            "exactly one of httpHeaderName, httpCookie, useSourceIp and httpQueryParameterName");
    }
    if (hash.has_http_header_name() && !IsHeaderName(hash.http_header_name())) {
      Error(field + ".httpHeaderName",
            fmt::format("\"{}\" is no header's name", hash.http_header_name()));
    }
    if (hash.has_http_cookie()) CheckCookie(hash.http_cookie(), field + ".httpCookie");
    if (hash.minimum_ring_size() != 0) {
      Warn(field + ".minimumRingSize", "is deprecated: write ringHash");
      if (hash.has_ring_hash() || hash.has_maglev()) {
        Error(field + ".minimumRingSize", "not beside ringHash or maglev");
      }
    }
    if (hash.has_ring_hash() && hash.has_maglev()) Error(field + ".maglev", "not beside ringHash");
    constexpr uint64_t kMaxRing = 8'388'608;
    if (hash.ring_hash().minimum_ring_size() > kMaxRing || hash.minimum_ring_size() > kMaxRing) {
      Error(field + ".ringHash.minimumRingSize", fmt::format("at most {}", kMaxRing));
    }
    constexpr uint64_t kMaxTable = 5'000'011;
    const uint64_t table = hash.maglev().table_size();
    if (hash.maglev().has_table_size() && (table > kMaxTable || !IsPrime(table))) {
      Error(field + ".maglev.tableSize",
            fmt::format("must be a prime number of at most {}, not {}", kMaxTable, table));
    }
  }

  void CheckCookie(const api::HashCookie& cookie, const std::string& field) {
    if (cookie.name().empty()) Error(field + ".name", "required");
    if (cookie.has_ttl()) CheckDuration(cookie.ttl(), field + ".ttl", true);
    std::set<std::string> names;
    for (int i = 0; i < cookie.attributes_size(); ++i) {
      const std::string at = fmt::format("{}.attributes[{}].name", field, i);
      const std::string& name = cookie.attributes(i).name();
      if (name.empty()) Error(at, "required");
      if (!names.insert(name).second) Error(at, fmt::format("\"{}\" is defined twice", name));
    }
  }

  void CheckLocality(const api::LocalitySetting& setting, bool ejects, const std::string& field) {
    if (!setting.distribute().empty() &&
        (!setting.failover().empty() || !setting.failover_priority().empty())) {
      Error(field + ".distribute", "not beside failover or failoverPriority");
    }
    for (int i = 0; i < setting.distribute_size(); ++i) {
      const std::string at = fmt::format("{}.distribute[{}]", field, i);
      CheckDistribute(setting.distribute(i), at);
      for (int before = 0; before < i; ++before) {
        if (LocalitiesOverlap(setting.distribute(before).from(), setting.distribute(i).from())) {
          Error(at + ".from",
                fmt::format("\"{}\" overlaps with \"{}\"", setting.distribute(i).from(),
                            setting.distribute(before).from()));
        }
      }
    }
    for (int i = 0; i < setting.failover_size(); ++i) {
      const api::LocalityFailover& failover = setting.failover(i);
      const std::string at = fmt::format("{}.failover[{}]", field, i);
      for (const std::string& region : {failover.from(), failover.to()}) {
        if (region.empty() || region.find_first_of("/*") != std::string::npos) {
          Error(at, fmt::format("\"{}\" must be a region alone", region));
        }
      }
      if (failover.from() == failover.to()) Error(at, "from and to are the same");
      for (const std::string& label : setting.failover_priority()) {
        if (label.rfind(kRegionLabel, 0) == 0) {
          Error(at, "not beside the region's label in failoverPriority");
        }
      }
    }
    const bool fails_over = !setting.failover().empty() || !setting.failover_priority().empty();
    if (fails_over && !ejects) Warn(field, "fails over only with outlierDetection");
  }

  void CheckDistribute(const api::LocalityDistribute& distribute, const std::string& field) {
    if (distribute.from().empty()) Error(field + ".from", "required");
    uint64_t sum = 0;
    const std::map<std::string, uint32_t> to(distribute.to().begin(), distribute.to().end());
    for (const auto& [locality, weight] : to) {
      if (weight < 1 || weight > 100) {
        Error(field + ".to." + locality, fmt::format("must be between 1 and 100, not {}", weight));
      }
      sum += weight;
    }
    if (sum != 100) Error(field + ".to", fmt::format("the weights sum up to {}, not 100", sum));
  }

  void CheckTls(const api::ClientTls& tls, const std::string& field) {
    const bool files = !tls.client_certificate().empty() || !tls.private_key().empty() ||
                       !tls.ca_certificates().empty() || !tls.ca_crl().empty();
    const std::string& credential = tls.credential_name();
    if (!credential.empty() && files) {
      Error(field + ".credentialName", "not beside names of files");
    }
    if (tls.mode() == api::ClientTls::MUTUAL && credential.empty()) {
      if (tls.client_certificate().empty()) Error(field + ".clientCertificate", "required");
      if (tls.private_key().empty()) Error(field + ".privateKey", "required");
    }
    if (tls.mode() == api::ClientTls::ISTIO_MUTUAL &&
        (files || !credential.empty() || !tls.sni().empty() || !tls.subject_alt_names().empty())) {
      Error(field, "with mode ISTIO_MUTUAL nothing else may be set");
    }
    if (tls.insecure_skip_verify() &&
        (!tls.ca_certificates().empty() || !tls.subject_alt_names().empty())) {
      Error(field + ".insecureSkipVerify", "not beside caCertificates or subjectAltNames");
    }
    if (files) {
      Warn(field, "names of files are not read here, and connections fail: use credentialName");
    }
  }

  void CheckTunnel(const api::TrafficPolicy& policy, const std::string& field) {
    const api::TunnelSettings& tunnel = policy.tunnel();
    const std::string& protocol = tunnel.protocol();
    if (!protocol.empty() && protocol != "CONNECT" && protocol != "POST") {
      Error(field + ".protocol", fmt::format("must be CONNECT or POST, not \"{}\"", protocol));
    }
    CheckHost(tunnel.target_host(), field + ".targetHost");
    CheckPort(tunnel.target_port(), field + ".targetPort");
    if (policy.has_proxy_protocol()) Error(field, "not beside proxyProtocol");
  }

  const api::DestinationRule& object_;
  const api::DestinationRuleSpec& spec_;
};

}  // namespace

void ValidateDestinationRule(const api::DestinationRule& rule, std::vector<Issue>& issues) {
  DestinationRuleChecker(rule, issues).Run();
}

}  // namespace mesh::k8s
