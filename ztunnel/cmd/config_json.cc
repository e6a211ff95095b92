#include "ztunnel/cmd/config_json.h"

#include <fmt/format.h>

#include "ztunnel/admin/config_dump.h"

namespace mesh::cmd {
namespace {

using admin::JsonWriter;

void Duration(JsonWriter& json, const char* key, absl::Duration duration) {
  json.Key(key);
  admin::WriteDuration(json, duration);
}

void TextOrNull(JsonWriter& json, const char* key, const std::string& value) {
  json.Key(key);
  if (value.empty()) {
    json.Null();
  } else {
    json.String(value);
  }
}

// {"Localhost": [true, port]}: on loopback, of both families.
void Localhost(JsonWriter& json, const char* key, uint16_t port, bool ipv6) {
  json.Key(key);
  json.BeginObject();
  json.Key("Localhost");
  json.BeginArray();
  json.Bool(ipv6);
  json.Number(port);
  json.EndArray();
  json.EndObject();
}

std::string AnyAddress(uint16_t port, bool ipv6) {
  return fmt::format("{}:{}", ipv6 ? "[::]" : "0.0.0.0", port);
}

void SocketAddr(JsonWriter& json, const char* key, uint16_t port, bool ipv6) {
  json.Key(key);
  json.BeginObject();
  json.Member("SocketAddr", AnyAddress(port, ipv6));
  json.EndObject();
}

// Names alone: values may be secrets.
void HeaderNames(JsonWriter& json, const char* key, const identity::ControlPlane& server) {
  json.Key(key);
  json.BeginArray();
  for (const auto& [name, value] : server.headers) json.String(name);
  json.EndArray();
}

void Sockets(JsonWriter& json, const tunnel::Config& t) {
  json.Key("socketConfig");
  json.BeginObject();
  json.Member("keepaliveEnabled", t.keepalive);
  Duration(json, "keepaliveInterval", t.keepalive_interval);
  json.Member("keepaliveRetries", t.keepalive_retries);
  Duration(json, "keepaliveTime", t.keepalive_time);
  json.Member("userTimeoutEnabled", t.user_timeout);
  json.EndObject();
}

}  // namespace

void WriteConfig(JsonWriter& json, const Settings& s) {
  const tunnel::Config& t = s.tunnel;
  json.BeginObject();
  json.Member("proxy", true);
  json.Member("dnsProxy", s.dns);
  json.Member("windowSize", static_cast<int64_t>(t.stream_window_bytes));
  json.Member("connectionWindowSize", static_cast<int64_t>(t.connection_window_bytes));
  json.Member("frameSize", static_cast<int64_t>(t.frame_bytes));
  json.Member("poolMaxStreamsPerConn", static_cast<int64_t>(t.pool_max_streams));
  Duration(json, "poolUnusedReleaseTimeout", t.pool_idle);
  Sockets(json, t);
  Localhost(json, "adminAddr", s.admin_port, t.ipv6);
  SocketAddr(json, "statsAddr", s.stats_port, t.ipv6);
  SocketAddr(json, "readinessAddr", s.readiness_port, t.ipv6);
  json.Member("inboundAddr", AnyAddress(t.hbone_port, t.ipv6));
  json.Member("inboundPlaintextAddr", AnyAddress(t.inbound_plaintext_port, t.ipv6));
  json.Member("outboundAddr", AnyAddress(t.outbound_port, t.ipv6));
  Localhost(json, "dnsProxyAddr", s.dns_port, t.ipv6);
  json.Member("network", t.network);
  TextOrNull(json, "localNode", s.node_name);
  json.Member("proxyMode", "Shared");
  json.Member("clusterId", t.cluster_id);
  json.Member("clusterDomain", s.cluster_domain);
  TextOrNull(json, "caAddress", s.ca.address);
  json.Member("caRootCert", s.ca.root_ca);
  json.Member("fakeCa", s.fake_ca);
  TextOrNull(json, "crlPath", s.crl_path);
  TextOrNull(json, "keyExchange", s.key_exchange);
  TextOrNull(json, "altCaHostname", s.ca.alt_hostname);
  TextOrNull(json, "xdsAddress", s.xds.address);
  json.Member("xdsRootCert", s.xds.root_ca);
  TextOrNull(json, "altXdsHostname", s.xds.alt_hostname);
  HeaderNames(json, "xdsHeaders", s.xds);
  HeaderNames(json, "caHeaders", s.ca);
  json.Member("xdsOnDemand", s.xds_on_demand);
  Duration(json, "secretTtl", s.secret_ttl);
  Duration(json, "selfTerminationDeadline", s.termination_deadline);
  json.Member("numWorkerThreads", s.worker_threads);
  TextOrNull(json, "preferedServiceNamespace", s.preferred_namespace);
  json.Member("inpodUds", s.zds_socket);
  json.Member("inpodPortReuse", t.reuse_port);
  json.Member("packetMark", static_cast<int64_t>(t.packet_mark));
  json.Member("requireOriginalSource", t.original_source);
  json.Member("ipv6Enabled", t.ipv6);
  json.Member("localhostAppTunnel", t.localhost_app_tunnel);
  json.Member("enableEnhancedBaggage", t.response_baggage);
  json.Key("illegalPorts");
  json.BeginArray();
  for (const uint16_t port : {t.hbone_port, t.inbound_plaintext_port, t.outbound_port})
    json.Number(port);
  for (const uint16_t port : t.illegal_ports) json.Number(port);
  json.EndArray();
  json.Key("proxyMetadata");
  json.BeginObject();
  for (const auto& [name, value] : s.proxy_metadata) json.Member(name, value);
  json.EndObject();
  json.Member("forceEncryption", t.force_encryption);
  TextOrNull(json, "stateCache", s.state_cache_path);
  json.EndObject();
}

}  // namespace mesh::cmd
