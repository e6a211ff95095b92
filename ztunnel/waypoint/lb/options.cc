#include <google/protobuf/duration.pb.h>

#include "proto/l7_cluster.pb.h"
#include "ztunnel/base/status.h"
#include "ztunnel/waypoint/lb/cluster.h"

namespace mesh::lb {
namespace {

namespace l7 = mesh::l7::v1;

absl::Duration ToDuration(const google::protobuf::Duration& d) {
  return absl::Seconds(d.seconds()) + absl::Nanoseconds(d.nanos());
}

// Zero says never.
absl::Duration ToIdle(const google::protobuf::Duration& d) {
  const absl::Duration value = ToDuration(d);
  return value == absl::ZeroDuration() ? absl::InfiniteDuration() : value;
}

absl::Status ParseHash(const l7::ConsistentHash& proto, ClusterOptions& out) {
  using Key = ClusterOptions::ConsistentHash::Key;
  ClusterOptions::ConsistentHash hash;
  switch (proto.key_case()) {
    case l7::ConsistentHash::kHeader:
      hash.name = proto.header();
      break;
    case l7::ConsistentHash::kCookie:
      hash.key = Key::kCookie;
      hash.name = proto.cookie().name();
      hash.cookie_path = proto.cookie().path();
      if (proto.cookie().has_ttl()) hash.cookie_ttl = ToDuration(proto.cookie().ttl());
      for (const auto& pair : proto.cookie().attributes()) {
        hash.cookie_attributes.emplace_back(pair.name(), pair.value());
      }
      break;
    case l7::ConsistentHash::kSourceIp:
      hash.key = Key::kSourceIp;
      break;
    case l7::ConsistentHash::kQueryParameter:
      hash.key = Key::kQueryParameter;
      hash.name = proto.query_parameter();
      break;
    case l7::ConsistentHash::KEY_NOT_SET:
      return Invalid("load_balancer.hash: no key");
  }
  if (proto.minimum_ring_size() > 8'388'608) {
    return Invalid("load_balancer.hash.minimum_ring_size: {} is more than 8388608",
                   proto.minimum_ring_size());
  }
  if (proto.minimum_ring_size() > 0) hash.ring_size = proto.minimum_ring_size();
  if (proto.maglev_table_size() > 5'000'011) {
    return Invalid("load_balancer.hash.maglev_table_size: {} is more than 5000011",
                   proto.maglev_table_size());
  }
  hash.maglev_size = proto.maglev_table_size();
  out.hash = std::move(hash);
  return absl::OkStatus();
}

absl::Status ParseBalancer(const l7::LoadBalancer& proto, ClusterOptions& out) {
  switch (proto.simple()) {
    case l7::LoadBalancer::ROUND_ROBIN:
      out.simple = ClusterOptions::Simple::kRoundRobin;
      break;
    case l7::LoadBalancer::RANDOM:
      out.simple = ClusterOptions::Simple::kRandom;
      break;
    case l7::LoadBalancer::PASSTHROUGH:
      out.simple = ClusterOptions::Simple::kPassthrough;
      break;
    case l7::LoadBalancer::LEAST_REQUEST:
      break;
    default:
      return Invalid("load_balancer.simple: {} is not known", static_cast<int>(proto.simple()));
  }
  if (proto.has_hash()) RETURN_IF_ERROR(ParseHash(proto.hash(), out));
  if (!proto.has_warmup()) return absl::OkStatus();
  ClusterOptions::Warmup warmup;
  warmup.duration = ToDuration(proto.warmup().duration());
  if (proto.warmup().minimum_percent() > 0) {
    warmup.minimum_percent = proto.warmup().minimum_percent();
  }
  if (proto.warmup().aggression() > 0) warmup.aggression = proto.warmup().aggression();
  out.warmup = warmup;
  return absl::OkStatus();
}

void ParsePool(const l7::ConnectionPool& proto, ClusterOptions& out) {
  out.max_connections = proto.max_connections();
  if (proto.has_connect_timeout()) out.connect_timeout = ToDuration(proto.connect_timeout());
  if (proto.has_max_connection_duration()) {
    out.max_connection_duration = ToDuration(proto.max_connection_duration());
  }
  if (proto.has_tcp_idle_timeout()) out.tcp_idle_timeout = ToIdle(proto.tcp_idle_timeout());
  out.max_pending_requests = proto.max_pending_requests();
  out.max_requests = proto.max_requests();
  out.max_requests_per_connection = proto.max_requests_per_connection();
  out.max_retries = proto.max_retries();
  if (proto.has_idle_timeout()) out.idle_timeout = ToIdle(proto.idle_timeout());
  out.max_concurrent_streams = proto.max_concurrent_streams();
  if (proto.has_keep_alive_interval()) {
    out.keep_alive_interval = ToDuration(proto.keep_alive_interval());
    out.keep_alive_timeout = ToDuration(proto.keep_alive_timeout());
  }
}

void ParseOutlier(const l7::OutlierDetection& proto, ClusterOptions& out) {
  ClusterOptions::Outlier outlier;
  outlier.consecutive_5xx = proto.consecutive_5xx();
  outlier.consecutive_gateway = proto.consecutive_gateway();
  outlier.split_local = proto.split_local();
  outlier.consecutive_local = proto.consecutive_local();
  if (proto.has_interval()) outlier.interval = ToDuration(proto.interval());
  if (proto.has_base_ejection_time()) {
    outlier.base_ejection_time = ToDuration(proto.base_ejection_time());
  }
  outlier.max_ejection_percent = proto.max_ejection_percent();
  outlier.min_health_percent = proto.min_health_percent();
  outlier.error_codes.assign(proto.error_codes().begin(), proto.error_codes().end());
  out.outlier = std::move(outlier);
}

void ParseTls(const l7::TlsOrigination& proto, ClusterOptions& out) {
  if (proto.mode() == l7::TlsOrigination::DISABLE) return;
  ClusterOptions::Tls tls;
  tls.mutual = proto.mode() == l7::TlsOrigination::MUTUAL;
  tls.sni = proto.sni();
  tls.subject_alt_names.assign(proto.subject_alt_names().begin(), proto.subject_alt_names().end());
  tls.ca_certificates = proto.ca_certificates();
  tls.client_certificate = proto.client_certificate();
  tls.private_key = proto.private_key();
  tls.insecure_skip_verify = proto.insecure_skip_verify();
  out.tls = std::move(tls);
}

}  // namespace

absl::StatusOr<ClusterOptions> ParseCluster(const l7::Cluster& proto) {
  ClusterOptions out;
  if (proto.service().find('/') == std::string::npos) {
    return Invalid("service: \"{}\" is not namespace/hostname", proto.service());
  }
  if (proto.port() == 0 || proto.port() > 65535) {
    return Invalid("port: {} is no port", proto.port());
  }
  out.service = proto.service();
  out.port = static_cast<uint16_t>(proto.port());
  out.subset = proto.subset();
  out.subset_labels = {proto.subset_labels().begin(), proto.subset_labels().end()};
  out.origin = proto.origin();
  out.external = proto.external();
  switch (proto.protocol()) {
    case l7::Cluster::HTTP1:
      break;
    case l7::Cluster::HTTP2:
      out.protocol = ClusterOptions::Protocol::kHttp2;
      break;
    case l7::Cluster::AS_CLIENT:
      out.protocol = ClusterOptions::Protocol::kAsClient;
      break;
    default:
      return Invalid("protocol: {} is not known", static_cast<int>(proto.protocol()));
  }
  RETURN_IF_ERROR(ParseBalancer(proto.load_balancer(), out));
  ParsePool(proto.pool(), out);
  if (proto.has_outlier()) ParseOutlier(proto.outlier(), out);
  if (proto.has_retry_budget()) {
    ClusterOptions::RetryBudget budget;
    budget.percent = proto.retry_budget().percent();
    budget.min_concurrency = proto.retry_budget().min_concurrency();
    budget.interval = ToDuration(proto.retry_budget().interval());
    out.retry_budget = budget;
  }
  if (proto.has_tls()) ParseTls(proto.tls(), out);
  if (proto.proxy_protocol() > 2) {
    return Invalid("proxy_protocol: {} is not 1 or 2", proto.proxy_protocol());
  }
  out.proxy_protocol = proto.proxy_protocol();
  return out;
}

}  // namespace mesh::lb
