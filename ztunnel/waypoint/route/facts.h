// What is known of one exchange: for %SUBSTITUTIONS% in header values and for the access log.
//
// Views and pointers are the exchange's and outlive the call that takes the Facts. What is not
// known yet is empty.
#pragma once

#include <absl/time/time.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "ztunnel/base/ip.h"
#include "ztunnel/waypoint/http/message.h"

namespace mesh::route {

// Envoy's vocabulary, in the order in which logs write them; FlagSet is an or of them.
enum ResponseFlag : uint32_t {
  kNoHealthyUpstream = 1u << 0,       // UH
  kUpstreamConnectFailure = 1u << 1,  // UF
  kUpstreamOverflow = 1u << 2,        // UO
  kNoRoute = 1u << 3,                 // NR
  kUpstreamRetryLimit = 1u << 4,      // URX
  kNoCluster = 1u << 5,               // NC
  kUpstreamTimeout = 1u << 6,         // UT
  kDownstreamTermination = 1u << 7,   // DC
  kUpstreamReset = 1u << 8,           // UR: reset by the peer
  kUpstreamTermination = 1u << 9,     // UC: its connection ended
  kDelayInjected = 1u << 10,          // DI
  kFaultInjected = 1u << 11,          // FI
  kRateLimited = 1u << 12,            // RL
  kUnauthorized = 1u << 13,           // UAEX
  kDownstreamProtocol = 1u << 14,     // DPE
  kUpstreamProtocol = 1u << 15,       // UPE
  kDurationTimeout = 1u << 16,        // DT
  kOverload = 1u << 17,               // OM
};
using FlagSet = uint32_t;

// "-" for none, else comma separated. Appended to `out`.
void AppendFlags(FlagSet flags, std::string& out);
std::string FlagsText(FlagSet flags);

struct Facts {
  const http::RequestHead* request = nullptr;    // of TCP: null
  const http::ResponseHead* response = nullptr;  // sent to the client
  const http::HeaderMap* trailers = nullptr;     // of the response

  std::optional<SocketAddress> downstream_remote;         // the client, after X-Forwarded-For
  std::optional<SocketAddress> downstream_direct_remote;  // the client's own end
  std::optional<SocketAddress> downstream_local;          // what the client asked for
  std::optional<SocketAddress> upstream_host;
  std::optional<SocketAddress> upstream_local;

  std::string_view downstream_peer;  // spiffe://..., of the client
  std::string_view requested_server_name;
  std::string_view route_name;
  std::string_view upstream_cluster;
  std::string_view response_code_details;
  std::string_view connection_termination_details;
  std::string_view upstream_transport_failure_reason;
  std::string_view trace_id;
  std::string_view hostname;  // ours

  FlagSet flags = 0;
  uint64_t connection_id = 0;
  uint64_t bytes_received = 0;  // of bodies
  uint64_t bytes_sent = 0;
  uint32_t attempts = 0;  // upstream requests made
  absl::Time start = absl::InfinitePast();
  std::optional<absl::Duration> duration;           // start to the end of the answer
  std::optional<absl::Duration> request_duration;   // start to the last byte from the client
  std::optional<absl::Duration> response_duration;  // start to the first byte from upstream
};

}  // namespace mesh::route
