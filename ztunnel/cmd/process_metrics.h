// Metrics of the process as a whole: descriptors, build, discovery, certificates.
#pragma once

#include <string_view>
#include <vector>

#include "ztunnel/cmd/revocation_file.h"
#include "ztunnel/core/identity/certificate_manager.h"
#include "ztunnel/core/identity/peer_verifier.h"
#include "ztunnel/core/net/host_resolver.h"
#include "ztunnel/core/telemetry/metrics_writer.h"
#include "ztunnel/core/xds/xds_client.h"

namespace mesh::cmd {

void WriteProcessMetrics(telemetry::MetricsWriter& writer, std::string_view version_tag);
void WriteHostMetrics(telemetry::MetricsWriter& writer,
                      const net::HostResolver::Counters& counters);
void WriteXdsMetrics(telemetry::MetricsWriter& writer, const xds::XdsCounters& counters);
// One element of `peers` a worker.
using PeerCounters = std::vector<const identity::PeerVerifier::Counters*>;
void WritePeerMetrics(telemetry::MetricsWriter& writer, const PeerCounters& peers,
                      uint64_t handshakes);
void WriteRevocationMetrics(telemetry::MetricsWriter& writer, const RevocationFile::Counters& file,
                            const PeerCounters& peers);
void WriteCertificateMetrics(telemetry::MetricsWriter& writer,
                             const std::vector<identity::CertificateState>& certificates);

}  // namespace mesh::cmd
