// A compiled resource, ready to be sent: bytes made once, shared by all clients.
#pragma once

#include <google/protobuf/message.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace mesh::controller {

// Those from kPeer on are for waypoints (proto/l7_*.proto).
enum class ResourceType {
  kAddress,
  kAuthorization,
  kPeer,
  kPolicy,
  kAuthentication,
  kTelemetry,
  kCluster,
  kFrontend
};
inline constexpr ResourceType kResourceTypes[] = {
    ResourceType::kAddress, ResourceType::kAuthorization,  ResourceType::kPeer,
    ResourceType::kPolicy,  ResourceType::kAuthentication, ResourceType::kTelemetry,
    ResourceType::kCluster, ResourceType::kFrontend};

inline constexpr std::string_view kAddressUrl = "type.googleapis.com/istio.workload.Address";
// Addresses that are workloads, as workloads; for clients that know no services.
inline constexpr std::string_view kWorkloadUrl = "type.googleapis.com/istio.workload.Workload";
inline constexpr std::string_view kAuthorizationUrl =
    "type.googleapis.com/istio.security.Authorization";

std::string_view UrlOf(ResourceType type);
std::string_view NameOf(ResourceType type);  // "address", "authorization": metric labels

struct Resource {
  std::string name;
  std::string version;               // hex xxHash64 of `body`
  std::string body;                  // deterministic serialization
  std::vector<std::string> aliases;  // network/ip of everything it answers for
  std::string owner;  // for a workload: its node; what a client of that node always gets
  std::vector<std::string> services;  // for a workload: names of the services it is an endpoint of
  bool workload = false;              // an Address that is one
  std::vector<std::string> waypoints{};  // namespace/name of those it is for alone; none: all
};
using ResourceRef = std::shared_ptr<const Resource>;

// Serializes and hashes; the caller fills in the rest.
Resource MakeResource(std::string name, const google::protobuf::Message& message);

// The Workload in the body of such an Address: its one field, so the end of its bytes.
std::string_view WorkloadBody(const Resource& resource);

// One change of the compiled state. `resource` is null when it is gone.
struct ResourceChange {
  ResourceType type;
  std::string name;
  ResourceRef resource;
};

}  // namespace mesh::controller
