#include "ztunnel/cmd/process_metrics.h"

#include <functional>

#include "ztunnel/cmd/process.h"

namespace mesh::cmd {

using telemetry::MetricType;

void WriteProcessMetrics(telemetry::MetricsWriter& writer, std::string_view version_tag) {
  const DescriptorUse use = CountDescriptors();
  writer.Family("process_open_fds", MetricType::kGauge, "Number of open file descriptors");
  writer.Sample("", use.open);
  writer.Family("process_max_fds", MetricType::kGauge, "Maximum number of file descriptors");
  writer.Sample("", use.max);
  writer.Family("istio_build", MetricType::kGauge, "Istio component build info.");
  writer.Sample({{"component", "ztunnel"}, {"tag", version_tag}}, 1);
}

void WriteHostMetrics(telemetry::MetricsWriter& writer,
                      const net::HostResolver::Counters& counters) {
  writer.Family("mesh_host_lookups", MetricType::kCounter,
                "Host names of endpoints that the node's resolver was asked for.");
  writer.Sample("", counters.lookups);
  writer.Family("mesh_host_lookups_failed", MetricType::kCounter,
                "Lookups of host names that gave no address.");
  writer.Sample("", counters.failures);
  writer.Family("mesh_host_lookups_refused", MetricType::kCounter,
                "Connections refused because a limit of the resolver was reached.");
  writer.Sample("", counters.refused);
  writer.Family("mesh_host_names", MetricType::kGauge, "Host names whose answers are kept.");
  writer.Sample("", counters.names);
}

void WriteXdsMetrics(telemetry::MetricsWriter& writer, const xds::XdsCounters& counters) {
  writer.Family("istio_xds_connection_terminations", MetricType::kCounter,
                "The total number of completed connections to the xds server.");
  for (size_t i = 0; i < counters.terminations.size(); ++i) {
    const uint64_t count = counters.terminations[i];
    if (count > 0) writer.Sample({{"reason", xds::kTerminationLabels[i]}}, count);
  }
  writer.Family("istio_xds_message", MetricType::kCounter,
                "Total number of messages received from the xds server.");
  for (const auto& type : counters.types) {
    if (type.messages > 0) writer.Sample({{"url", type.url}}, type.messages);
  }
  writer.Family("istio_xds_message_bytes", MetricType::kCounter,
                "Total number of bytes received from the xds server.");
  for (const auto& type : counters.types) {
    if (type.messages > 0) writer.Sample({{"url", type.url}}, type.bytes);
  }
  writer.Family("mesh_xds_resources_rejected", MetricType::kCounter,
                "Resources refused because they cannot be understood.");
  for (const auto& type : counters.types) writer.Sample({{"type", type.url}}, type.rejected);
  writer.Family("mesh_xds_connected", MetricType::kGauge, "1 while the control plane answers.");
  writer.Sample("", counters.connected ? 1 : 0);
  writer.Family("mesh_xds_demands", MetricType::kCounter,
                "Addresses asked for on demand that the control plane had not answered before.");
  writer.Sample("", counters.demands);
  writer.Family("mesh_xds_demands_given_up", MetricType::kCounter,
                "Demands without an answer in time, or above the limit of those that wait.");
  writer.Sample("", counters.demands_given_up);
  writer.Family("mesh_xds_demands_waiting", MetricType::kGauge, "Demands that wait for an answer.");
  writer.Sample("", counters.demands_waiting);
}

namespace {

using PeerCell = std::atomic<uint64_t>;

uint64_t Sum(const PeerCounters& peers,
             const std::function<const PeerCell&(const identity::PeerVerifier::Counters&)>& cell) {
  uint64_t sum = 0;
  for (const auto* counters : peers) sum += cell(*counters);
  return sum;
}

// By which side reports: [0] of PeerVerifier's counters is the source.
void WriteByReporter(telemetry::MetricsWriter& writer, const PeerCounters& peers,
                     std::array<PeerCell, 2> identity::PeerVerifier::Counters::* cells) {
  for (const size_t client : {0, 1}) {
    const uint64_t sum =
        Sum(peers, [&](const auto& c) -> const PeerCell& { return (c.*cells)[client]; });
    writer.Sample({{"reporter", client == 0 ? "source" : "destination"}}, sum);
  }
}

}  // namespace

void WritePeerMetrics(telemetry::MetricsWriter& writer, const PeerCounters& peers,
                      uint64_t handshakes) {
  using Counters = identity::PeerVerifier::Counters;
  writer.Family("mesh_tunnel_handshakes", MetricType::kGauge,
                "Tunnels of peers whose TLS handshake has not ended.");
  writer.Sample("", handshakes);
  writer.Family("mesh_tls_peer_chains_verified", MetricType::kCounter,
                "Certificate chains of peers that were verified.");
  writer.Sample("", Sum(peers, [](const Counters& c) -> const PeerCell& { return c.verified; }));
  writer.Family("mesh_tls_peer_chains_remembered", MetricType::kCounter,
                "Handshakes whose peer's chain was verified before.");
  writer.Sample("", Sum(peers, [](const Counters& c) -> const PeerCell& { return c.remembered; }));
  writer.Family("mesh_tls_peer_chains_forgotten", MetricType::kCounter,
                "Verified chains that made room for others.");
  writer.Sample("", Sum(peers, [](const Counters& c) -> const PeerCell& { return c.forgotten; }));
  writer.Family("mesh_tls_peer_chains", MetricType::kGauge, "Verified chains that are remembered.");
  writer.Sample("", Sum(peers, [](const Counters& c) -> const PeerCell& { return c.entries; }));
}

void WriteRevocationMetrics(telemetry::MetricsWriter& writer, const RevocationFile::Counters& file,
                            const PeerCounters& peers) {
  using Counters = identity::PeerVerifier::Counters;
  writer.Family("istio_crl_policy_rejections", MetricType::kCounter,
                "Peers refused and connections ended because a certificate was revoked.");
  WriteByReporter(writer, peers, &Counters::revoked);
  writer.Family("istio_crl_untracked_connections", MetricType::kCounter,
                "Peers accepted although an issuer of their chain has no revocation list.");
  WriteByReporter(writer, peers, &Counters::uncovered);
  writer.Family("mesh_crl_lists", MetricType::kGauge, "Revocation lists in force.");
  writer.Sample("", file.lists);
  writer.Family("mesh_crl_certificates", MetricType::kGauge, "Certificates that they name.");
  writer.Sample("", file.revoked);
  writer.Family("mesh_crl_failures", MetricType::kCounter,
                "Changed files of revocation lists that could not be read.");
  writer.Sample("", file.failures);
  writer.Family("mesh_crl_loaded_timestamp_seconds", MetricType::kGauge,
                "When the lists in force were read.");
  writer.Sample("", static_cast<uint64_t>(file.loaded_unix));
}

void WriteCertificateMetrics(telemetry::MetricsWriter& writer,
                             const std::vector<identity::CertificateState>& certificates) {
  writer.Family("mesh_identity_certificate_expiry_timestamp_seconds", MetricType::kGauge,
                "When the certificate in use ends; 0: there is none.");
  for (const auto& state : certificates) {
    const int64_t expiry =
        state.certificate == nullptr ? 0 : absl::ToUnixSeconds(state.certificate->not_after());
    writer.Sample({{"identity", state.identity.ToString()}},
                  static_cast<uint64_t>(std::max<int64_t>(0, expiry)));
  }
  writer.Family("mesh_identity_certificate_failing", MetricType::kGauge,
                "1 when the last attempt to obtain or renew the certificate failed.");
  for (const auto& state : certificates) {
    writer.Sample({{"identity", state.identity.ToString()}}, state.last_error.ok() ? 0 : 1);
  }
}

}  // namespace mesh::cmd
