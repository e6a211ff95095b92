// The gRPC half of control_plane.h.
#include <grpcpp/grpcpp.h>

#include "ztunnel/base/status.h"
#include "ztunnel/core/identity/control_plane.h"

namespace mesh::identity {

absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const ControlPlane& plane) {
  ASSIGN_OR_RETURN(const std::string target, TargetOf(plane.address));
  ASSIGN_OR_RETURN(const std::string roots, ReadRoots(plane.root_ca));
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = roots;
  grpc::ChannelArguments args;
  if (!plane.alt_hostname.empty()) args.SetSslTargetNameOverride(plane.alt_hostname);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  args.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  args.SetMaxReceiveMessageSize(200 << 20);
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Its own connection and its own idea of when to try again: back-off is the caller's.
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);  // also the connect timeout
  return grpc::CreateCustomChannel(target, grpc::SslCredentials(tls), args);
}

absl::Status AddMetadata(const ControlPlane& plane, grpc::ClientContext& context) {
  ASSIGN_OR_RETURN(const auto metadata, CallMetadata(plane));
  for (const auto& [name, value] : metadata) context.AddMetadata(name, value);
  return absl::OkStatus();
}

absl::Status FromGrpc(const grpc::Status& status) {
  const std::string text = status.error_message();
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      absl::string_view(text.data(), text.size()));
}

}  // namespace mesh::identity
