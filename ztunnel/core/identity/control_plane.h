// How a node proxy reaches its control plane (discovery and certificate signing): gRPC over TLS, a
// bearer token, the cluster's name. Settings are Istio's: XDS_ADDRESS or CA_ADDRESS, XDS_ROOT_CA or
// CA_ROOT_CA, ALT_XDS_HOSTNAME or ALT_CA_HOSTNAME, AUTH_TOKEN, CLUSTER_ID, XDS_HEADER_* or
// CA_HEADER_*.
//
// Files are read again at every use, so that a rotated token or root needs no restart. Stateless,
// thread-safe. The one header of this folder's gRPC adapters that names grpc types, by declaration.
#pragma once

#include <absl/status/statusor.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace grpc {
class Channel;
class ClientContext;
class Status;
}  // namespace grpc

namespace mesh::identity {

struct ControlPlane {
  std::string address;       // https://host:port
  std::string root_ca;       // path, PEM text, or SYSTEM
  std::string alt_hostname;  // the server's name instead of the address's host; may be empty
  std::string token_file;    // empty: no token
  std::string cluster_id = "Kubernetes";
  std::map<std::string, std::string> headers;
};

// "https://host:port" -> "host:port". Only https is spoken: a token must not travel in clear text.
absl::StatusOr<std::string> TargetOf(const std::string& address);
// The PEM text of the roots; empty for the system's.
absl::StatusOr<std::string> ReadRoots(const std::string& root_ca);
// The metadata of every call: authorization, clusterid, extra headers.
absl::StatusOr<std::vector<std::pair<std::string, std::string>>> CallMetadata(
    const ControlPlane& plane);

// A new channel that shares nothing with others: keepalive 30 s/10 s, connect timeout 5 s, messages
// of up to 200 MiB, no proxy from the environment.
absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const ControlPlane& plane);
absl::Status AddMetadata(const ControlPlane& plane, grpc::ClientContext& context);
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace mesh::identity
