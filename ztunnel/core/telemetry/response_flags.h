// The word that dashboards know for how a connection ended: coarser than mesh_reason, and fixed by
// them.
#pragma once

#include "bpf/include/mesh_abi.h"

namespace mesh::telemetry {

enum class ResponseFlag {
  kNone,
  kDeny,
  kConnect,  // could not connect, and every other error
  kTlsFailure,
  kH2HandshakeFailure,
  kNetworkPolicy,
  kIdentityError,
  kCertRevoked,
};
inline constexpr int kResponseFlags = 8;

ResponseFlag FlagOf(mesh_reason reason);
const char* FlagLabel(ResponseFlag flag);  // "-", "DENY", ...

}  // namespace mesh::telemetry
