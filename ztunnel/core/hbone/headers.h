// What a tunnel request says of itself: the authority it asks for, and for telemetry baggage,
// forwarded and traceparent. All of it comes from a peer; none of it decides who the peer is.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "ztunnel/base/ip.h"
#include "ztunnel/core/h2/session.h"
#include "ztunnel/core/state/types.h"
#include "ztunnel/core/telemetry/telemetry.h"

namespace mesh::hbone {

struct HostPort {
  std::string host;
  uint16_t port = 0;
  bool operator==(const HostPort&) const = default;
};
using Authority = std::variant<SocketAddress, HostPort>;
// "ip:port", "[v6]:port" or "host:port". Refused: no port, a port above 65535, an empty host, an
// IPv4 address in IPv6 clothes. Port 0 parses: what it leads to is the caller's to say.
absl::StatusOr<Authority> ParseAuthority(std::string_view text);

// "k8s.cluster.name=...,k8s.namespace.name=...,...": what is empty is left out.
std::string FormatBaggage(const state::Workload& workload);
// Of all `baggage` headers. Unknown keys and malformed members are skipped, and values that are no
// labels (not UTF-8, control characters, more than 253 bytes); nothing when none is known.
std::optional<telemetry::Baggage> ParseBaggage(const h2::Headers& headers);

// for="<ip:port>"[;host=<service>]
std::string FormatForwarded(const SocketAddress& client, std::string_view service_hostname);
std::string ParseForwardedHost(std::string_view forwarded);  // empty when absent

// What a refused request is answered: the status that every peer knows and, beside it, our reason
// in `x-mesh-reason`, for peers that can read it.
h2::Headers RefusalHeaders(std::string_view status, mesh_reason reason);
// Why a request was refused, from the answer: the reason that the far end named, else what its
// status means.
mesh_reason ReasonOfRefusal(const h2::Headers& response);

std::string MakeTraceparent();  // 00-<32 hex>-<16 hex>-00, random

}  // namespace mesh::hbone
