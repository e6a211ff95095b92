#include <absl/strings/cord.h>

#include "ztunnel/core/telemetry/response_flags.h"
#include "ztunnel/core/telemetry/telemetry.h"

namespace mesh::telemetry {
namespace {

constexpr char kPayloadUrl[] = "mesh/reason";

struct ReasonText {
  const char* label;
  const char* explanation;
};

constexpr ReasonText kReasons[] = {
#define X(name, label, text) {label, text},
    MESH_REASONS(X)
#undef X
};

const ReasonText& TextOf(mesh_reason reason) {
  const int index = static_cast<int>(reason);
  return kReasons[index >= 0 && index < MESH_REASON_COUNT ? index : MESH_REASON_INTERNAL];
}

}  // namespace

const char* ReasonLabel(mesh_reason reason) { return TextOf(reason).label; }
const char* ReasonExplanation(mesh_reason reason) { return TextOf(reason).explanation; }

std::optional<mesh_reason> ReasonFromLabel(std::string_view label) {
  for (int i = 0; i < MESH_REASON_COUNT; ++i) {
    if (label == kReasons[i].label) return static_cast<mesh_reason>(i);
  }
  return std::nullopt;
}

absl::Status WithReason(absl::Status status, mesh_reason reason) {
  if (!status.ok()) status.SetPayload(kPayloadUrl, absl::Cord(ReasonLabel(reason)));
  return status;
}

mesh_reason ReasonOf(const absl::Status& status) {
  if (status.ok()) return MESH_REASON_NONE;
  const auto payload = status.GetPayload(kPayloadUrl);
  if (!payload.has_value()) return MESH_REASON_INTERNAL;
  for (int i = 0; i < MESH_REASON_COUNT; ++i) {
    if (*payload == kReasons[i].label) return static_cast<mesh_reason>(i);
  }
  return MESH_REASON_INTERNAL;
}

ResponseFlag FlagOf(mesh_reason reason) {
  switch (reason) {
    case MESH_REASON_NONE:
      return ResponseFlag::kNone;
    case MESH_REASON_POLICY_DENY:
    case MESH_REASON_STRICT_PLAINTEXT:
    case MESH_REASON_L7_NOT_ENFORCEABLE:
      return ResponseFlag::kDeny;
    case MESH_REASON_TLS_FAILURE:
    case MESH_REASON_IDENTITY_MISMATCH:
      return ResponseFlag::kTlsFailure;
    case MESH_REASON_H2_FAILURE:
      return ResponseFlag::kH2HandshakeFailure;
    case MESH_REASON_TUNNEL_BLOCKED:
      return ResponseFlag::kNetworkPolicy;
    case MESH_REASON_NO_CERTIFICATE:
      return ResponseFlag::kIdentityError;
    case MESH_REASON_CERT_REVOKED:
      return ResponseFlag::kCertRevoked;
    default:
      return ResponseFlag::kConnect;
  }
}

const char* FlagLabel(ResponseFlag flag) {
  switch (flag) {
    case ResponseFlag::kNone:
      return "-";
    case ResponseFlag::kDeny:
      return "DENY";
    case ResponseFlag::kConnect:
      return "CONNECT";
    case ResponseFlag::kTlsFailure:
      return "TLS_FAILURE";
    case ResponseFlag::kH2HandshakeFailure:
      return "H2_HANDSHAKE_FAILURE";
    case ResponseFlag::kNetworkPolicy:
      return "NETWORK_POLICY";
    case ResponseFlag::kIdentityError:
      return "IDENTITY_ERROR";
    case ResponseFlag::kCertRevoked:
      return "CERT_REVOKED";
  }
  return "CONNECT";
}

}  // namespace mesh::telemetry
