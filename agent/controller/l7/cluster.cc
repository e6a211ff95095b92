#include "agent/controller/l7/cluster.h"

#include <fmt/format.h>

#include "agent/controller/l7/messages.h"

namespace mesh::controller {
namespace {

namespace l7 = mesh::l7::v1;
using Frontend = l7::Frontend;
using google::protobuf::Duration;

void TranslateHash(const api::ConsistentHash& hash, l7::ConsistentHash& out) {
  if (hash.has_http_header_name()) {
    out.set_header(hash.http_header_name());
  } else if (hash.has_http_cookie()) {
    l7::ConsistentHash::Cookie& cookie = *out.mutable_cookie();
    cookie.set_name(hash.http_cookie().name());
    cookie.set_path(hash.http_cookie().path());
    Duration ttl;
    if (ReadDuration(hash.http_cookie().ttl(), ttl)) *cookie.mutable_ttl() = ttl;
    for (const auto& attribute : hash.http_cookie().attributes()) {
      l7::HeaderOps::Pair& pair = *cookie.add_attributes();
      pair.set_name(attribute.name());
      pair.set_value(attribute.value());
    }
  } else if (hash.use_source_ip()) {
    out.set_source_ip(true);
  } else if (hash.has_http_query_parameter_name()) {
    out.set_query_parameter(hash.http_query_parameter_name());
  }
  constexpr uint64_t kMaglevTable = 65'537;
  if (hash.has_maglev()) {
    out.set_maglev_table_size(hash.maglev().has_table_size() ? hash.maglev().table_size()
                                                             : kMaglevTable);
  } else if (hash.has_ring_hash()) {
    out.set_minimum_ring_size(hash.ring_hash().minimum_ring_size());
  } else {
    out.set_minimum_ring_size(hash.minimum_ring_size());
  }
}

void TranslateLocality(const api::LocalitySetting& setting, bool ejects, l7::Locality& out) {
  // Without outlier detection no endpoint turns unhealthy, and all localities are equal.
  out.set_enabled(ejects && setting.distribute().empty());
  for (const auto& failover : setting.failover()) {
    l7::Locality::Failover& added = *out.add_failover();
    added.set_from(failover.from());
    added.set_to(failover.to());
  }
  out.mutable_failover_priority()->CopyFrom(setting.failover_priority());
  for (const auto& distribute : setting.distribute()) {
    l7::Locality::Distribute& added = *out.add_distribute();
    added.set_from(distribute.from());
    *added.mutable_to() = distribute.to();
  }
}

void TranslateWarmup(const api::LoadBalancer& lb, l7::LoadBalancer& out) {
  constexpr double kMinimumPercent = 10;
  const bool old = !lb.has_warmup();
  Duration duration;
  if (!ReadDuration(old ? lb.warmup_duration_secs() : lb.warmup().duration(), duration)) return;
  *out.mutable_warmup()->mutable_duration() = duration;
  out.mutable_warmup()->set_minimum_percent(
      lb.warmup().has_minimum_percent() ? lb.warmup().minimum_percent() : kMinimumPercent);
  out.mutable_warmup()->set_aggression(lb.warmup().has_aggression() ? lb.warmup().aggression() : 1);
}

l7::LoadBalancer::Simple SimpleOf(api::LoadBalancer::Simple simple) {
  switch (simple) {
    case api::LoadBalancer::RANDOM:
      return l7::LoadBalancer::RANDOM;
    case api::LoadBalancer::ROUND_ROBIN:
      return l7::LoadBalancer::ROUND_ROBIN;
    case api::LoadBalancer::PASSTHROUGH:
      return l7::LoadBalancer::PASSTHROUGH;
    default:
      return l7::LoadBalancer::LEAST_REQUEST;
  }
}

void TranslateLoadBalancer(const EffectivePolicy& policy, l7::LoadBalancer& out) {
  const bool ejects = policy.outlier_detection != nullptr;
  if (ejects) out.mutable_locality()->set_enabled(true);  // the mesh's default
  if (policy.load_balancer == nullptr) return;
  const api::LoadBalancer& lb = *policy.load_balancer;
  out.set_simple(SimpleOf(lb.simple()));
  if (lb.has_consistent_hash()) TranslateHash(lb.consistent_hash(), *out.mutable_hash());
  if (lb.has_locality_lb_setting()) {
    const api::LocalitySetting& setting = lb.locality_lb_setting();
    out.clear_locality();
    if (!setting.has_enabled() || setting.enabled()) {
      TranslateLocality(setting, ejects, *out.mutable_locality());
    }
  }
  TranslateWarmup(lb, out);
}

void SetIf(const std::string& text, Duration* (l7::ConnectionPool::*field)(),
           l7::ConnectionPool& out) {
  Duration duration;
  if (ReadDuration(text, duration)) *(out.*field)() = duration;
}

uint32_t Limit(int32_t value) { return value > 0 ? static_cast<uint32_t>(value) : 0; }

void TranslatePool(const api::ConnectionPool& pool, l7::ConnectionPool& out) {
  using P = l7::ConnectionPool;
  const api::TcpSettings& tcp = pool.tcp();
  const api::HttpSettings& http = pool.http();
  out.set_max_connections(Limit(tcp.max_connections()));
  SetIf(tcp.connect_timeout(), &P::mutable_connect_timeout, out);
  SetIf(tcp.max_connection_duration(), &P::mutable_max_connection_duration, out);
  SetIf(tcp.idle_timeout(), &P::mutable_tcp_idle_timeout, out);
  out.set_tcp_keepalive_probes(tcp.tcp_keepalive().probes());
  SetIf(tcp.tcp_keepalive().time(), &P::mutable_tcp_keepalive_time, out);
  SetIf(tcp.tcp_keepalive().interval(), &P::mutable_tcp_keepalive_interval, out);
  out.set_max_pending_requests(Limit(http.http1_max_pending_requests()));
  out.set_max_requests(Limit(http.http2_max_requests()));
  out.set_max_requests_per_connection(Limit(http.max_requests_per_connection()));
  out.set_max_retries(Limit(http.max_retries()));
  out.set_max_concurrent_streams(Limit(http.max_concurrent_streams()));
  SetIf(http.idle_timeout().empty() ? tcp.idle_timeout() : http.idle_timeout(),
        &P::mutable_idle_timeout, out);
  SetIf(http.http2_keep_alive().interval(), &P::mutable_keep_alive_interval, out);
  SetIf(http.http2_keep_alive().timeout(), &P::mutable_keep_alive_timeout, out);
}

void TranslateOutlier(const api::OutlierDetection& outlier, l7::OutlierDetection& out) {
  constexpr uint32_t kConsecutive = 5;
  constexpr uint32_t kMaxEjectionPercent = 10;
  out.set_consecutive_5xx(outlier.has_consecutive_5xx_errors() ? outlier.consecutive_5xx_errors()
                                                               : kConsecutive);
  out.set_consecutive_gateway(outlier.has_consecutive_gateway_errors()
                                  ? outlier.consecutive_gateway_errors()
                                  : Limit(outlier.consecutive_errors()));
  out.set_split_local(outlier.split_external_local_origin_errors());
  if (out.split_local()) {
    out.set_consecutive_local(outlier.has_consecutive_local_origin_failures()
                                  ? outlier.consecutive_local_origin_failures()
                                  : kConsecutive);
  }
  if (!ReadDuration(outlier.interval(), *out.mutable_interval())) {
    out.mutable_interval()->set_seconds(10);
  }
  if (!ReadDuration(outlier.base_ejection_time(), *out.mutable_base_ejection_time())) {
    out.mutable_base_ejection_time()->set_seconds(30);
  }
  const uint32_t percent = Limit(outlier.max_ejection_percent());
  out.set_max_ejection_percent(percent == 0 ? kMaxEjectionPercent : percent);
  out.set_min_health_percent(Limit(outlier.min_health_percent()));
  out.mutable_error_codes()->CopyFrom(outlier.outlier_detection_http_error_codes());
}

// Files are the proxy's in the API; what a waypoint may read is not ours to say. Text that is no
// PEM makes every handshake fail, which is what must happen without the certificates asked for.
std::string Unavailable(const std::string& path) {
  return fmt::format("not available: {}: files of a DestinationRule are not read", path);
}

void TranslateTls(const api::ClientTls& tls, const L7Service& service, l7::Cluster& out) {
  if (tls.mode() == api::ClientTls::ISTIO_MUTUAL) return;  // what the mesh does anyway
  l7::TlsOrigination& to = *out.mutable_tls();
  to.set_mode(tls.mode() == api::ClientTls::SIMPLE   ? l7::TlsOrigination::SIMPLE
              : tls.mode() == api::ClientTls::MUTUAL ? l7::TlsOrigination::MUTUAL
                                                     : l7::TlsOrigination::DISABLE);
  if (to.mode() == l7::TlsOrigination::DISABLE) return;
  to.set_sni(tls.sni());
  to.mutable_subject_alt_names()->CopyFrom(tls.subject_alt_names());
  if (tls.subject_alt_names().empty()) {
    for (const std::string& name : service.subject_alt_names) to.add_subject_alt_names(name);
  }
  to.set_insecure_skip_verify(tls.insecure_skip_verify());
  const std::string& credential = tls.credential_name();
  if (!credential.empty()) to.set_ca_certificates(Unavailable("credentialName " + credential));
  if (!tls.ca_certificates().empty()) to.set_ca_certificates(Unavailable(tls.ca_certificates()));
  if (to.mode() != l7::TlsOrigination::MUTUAL) return;
  to.set_client_certificate(Unavailable(tls.client_certificate()));
  to.set_private_key(Unavailable(tls.private_key()));
}

l7::Cluster::Protocol SpokenTo(Frontend::Protocol port, const api::ConnectionPool* pool) {
  using Http = api::HttpSettings;
  if (pool != nullptr && pool->http().use_client_protocol()) return l7::Cluster::AS_CLIENT;
  const auto upgrade = pool != nullptr ? pool->http().h2_upgrade_policy() : Http::DEFAULT;
  if (port == Frontend::HTTP2 || upgrade == Http::UPGRADE) return l7::Cluster::HTTP2;
  return port == Frontend::DETECT ? l7::Cluster::AS_CLIENT : l7::Cluster::HTTP1;
}

}  // namespace

std::optional<l7::Cluster> TranslateCluster(const L7Service& service, const L7Port& port,
                                            const std::string& subset, const MergedRule* rule) {
  l7::Cluster out;
  out.set_service(service.Name());
  out.set_port(port.number);
  out.set_external(service.external);
  if (!subset.empty()) {
    const api::Subset* chosen = rule == nullptr ? nullptr : rule->FindSubset(subset);
    if (chosen == nullptr) return std::nullopt;
    out.set_subset(subset);
    *out.mutable_subset_labels() = chosen->labels();
  }
  EffectivePolicy policy;
  if (rule != nullptr) {
    out.set_origin(rule->Origin());
    policy = PolicyFor(*rule, port.number, subset);
  }
  out.set_protocol(SpokenTo(port.protocol, policy.connection_pool));
  TranslateLoadBalancer(policy, *out.mutable_load_balancer());
  if (service.passthrough) out.mutable_load_balancer()->set_simple(l7::LoadBalancer::PASSTHROUGH);
  if (policy.connection_pool != nullptr) {
    TranslatePool(*policy.connection_pool, *out.mutable_pool());
  }
  if (policy.outlier_detection != nullptr) {
    TranslateOutlier(*policy.outlier_detection, *out.mutable_outlier());
  }
  if (policy.retry_budget != nullptr) {
    const api::RetryBudget& budget = *policy.retry_budget;
    out.mutable_retry_budget()->set_percent(budget.has_percent() ? budget.percent() : 20);
    out.mutable_retry_budget()->set_min_concurrency(
        budget.has_min_retry_concurrency() ? budget.min_retry_concurrency() : 3);
    ReadDuration(budget.budget_interval(), *out.mutable_retry_budget()->mutable_interval());
  }
  if (policy.tls != nullptr) TranslateTls(*policy.tls, service, out);
  if (policy.proxy_protocol != nullptr) {
    out.set_proxy_protocol(policy.proxy_protocol->version() == api::ProxyProtocol::V2 ? 2 : 1);
  }
  return out;
}

}  // namespace mesh::controller
