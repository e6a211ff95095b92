// What the parts of an Exchange share.
#pragma once

#include <absl/random/random.h>

#include "ztunnel/waypoint/http/stream.h"
#include "ztunnel/waypoint/proxy/core.h"
#include "ztunnel/waypoint/route/facts.h"

namespace mesh::waypoint {

inline uint64_t Random(Core& core) { return absl::Uniform<uint64_t>(core.random); }

// How a stream that ended without an answer looks to the client and in the log.
struct FailureWords {
  uint16_t status = 503;
  route::FlagSet flag = 0;
  const char* reason = "";
};
inline FailureWords WordsFor(http::StreamError error) {
  using http::StreamError;
  switch (error) {
    case StreamError::kConnectFailure:
      return {503, route::kUpstreamConnectFailure, "connection failure"};
    case StreamError::kOverload:
      return {503, route::kUpstreamOverflow, "overflow"};
    case StreamError::kProtocol:
      return {502, route::kUpstreamProtocol, "protocol error"};
    case StreamError::kRefused:
      return {503, route::kUpstreamReset, "remote refused stream reset"};
    case StreamError::kTimeout:
      return {504, route::kUpstreamTimeout, "timeout"};
    default:
      return {503, route::kUpstreamTermination, "connection termination"};
  }
}

}  // namespace mesh::waypoint
