// The packets of the pod hand-over (proto/zds.proto), from the agent's side. Pure functions; what
// comes from the socket is foreign.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <string>
#include <string_view>

namespace mesh::node::zds {

inline constexpr size_t kMaxPacketBytes = 1024;

struct PodInfo {
  std::string uid;
  std::string name;
  std::string ns;
  std::string service_account;
  bool operator==(const PodInfo&) const = default;
};

// Errors: a packet that would be longer than the other side reads (a name beyond any limit of
// Kubernetes).
absl::StatusOr<std::string> Add(const PodInfo& pod);
absl::StatusOr<std::string> Keep(std::string_view uid);
absl::StatusOr<std::string> Del(std::string_view uid);
std::string SnapshotSent();

// The proxy's first packet: a version that this agent speaks.
absl::Status CheckHello(std::string_view packet);
// The proxy's answer: Ok, or Aborted with the proxy's own words; InvalidArgument when it is no
// answer.
absl::Status CheckAck(std::string_view packet);

}  // namespace mesh::node::zds
