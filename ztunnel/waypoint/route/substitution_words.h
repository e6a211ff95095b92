// The words of substitution.h: which there are, what arguments they take, what they say.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "ztunnel/waypoint/route/facts.h"

namespace mesh::route::words {

enum class Word : uint8_t {
  kText,
  kRequestHeader,
  kResponseHeader,
  kTrailer,
  kProtocol,
  kResponseCode,
  kResponseFlags,
  kStartTime,
  kBytesReceived,
  kBytesSent,
  kConnectionId,
  kUpstreamAttempts,
  kDuration,
  kRequestDuration,
  kResponseDuration,
  kResponseTxDuration,
  kGrpcStatus,
  kGrpcStatusNumber,
  // Texts, in the order of kTexts.
  kResponseCodeDetails,
  kConnectionTerminationDetails,
  kUpstreamTransportFailureReason,
  kUpstreamCluster,
  kDownstreamPeerUri,
  kRequestedServerName,
  kRouteName,
  kHostname,
  kTraceId,
  // Addresses, in the order of kAddresses; each as ip:port, ip, port.
  kUpstreamHost,
  kUpstreamHostIp,
  kUpstreamHostPort,
  kUpstreamLocal,
  kUpstreamLocalIp,
  kUpstreamLocalPort,
  kDownstreamLocal,
  kDownstreamLocalIp,
  kDownstreamLocalPort,
  kDownstreamRemote,
  kDownstreamRemoteIp,
  kDownstreamRemotePort,
  kDownstreamDirectRemote,
  kDownstreamDirectRemoteIp,
  kDownstreamDirectRemotePort,
};

struct Parsed {
  Word word = Word::kText;
  std::string argument;   // header name, lower case; time format
  std::string alternate;  // second header name
};
absl::StatusOr<Parsed> Parse(std::string_view name, std::optional<std::string_view> arguments);

// Appends what the word says; false when that is not known (then `out` may have grown).
bool Append(Word word, std::string_view argument, std::string_view alternate, const Facts& facts,
            std::string& out);

}  // namespace mesh::route::words
