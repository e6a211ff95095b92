// Packets of the pod protocol (proto/zds.proto): one protobuf message each, at most 1024 bytes, the
// network namespace of an added pod in SCM_RIGHTS.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "ztunnel/base/unique_fd.h"

namespace mesh::pods {

inline constexpr size_t kMaxPacketBytes = 1024;

struct AddRequest {
  std::string uid;
  bool has_info = false;  // without it the pod cannot be served; that is the pod's error alone
  std::string name, ns, service_account;
  UniqueFd netns;
};
struct KeepRequest {
  std::string uid;
};
struct DelRequest {
  std::string uid;
};
struct SnapshotSentRequest {};
using Request = std::variant<AddRequest, KeepRequest, DelRequest, SnapshotSentRequest>;

// One packet with the descriptors that came with it. An error means that the two ends no longer
// agree: a packet that cannot be decoded or is empty, a descriptor where none belongs or none where
// one does.
absl::StatusOr<Request> DecodeRequest(std::string_view packet, std::vector<UniqueFd> fds);

std::string EncodeHello();
std::string EncodeAck(std::string_view error);  // empty: success; long texts are cut

struct Packet {
  std::string bytes;
  std::vector<UniqueFd> fds;
};
// The next packet of a non-blocking socket. kUnavailable: nothing there now. kCancelled: the other
// end closed. Everything else ends the session; a cut packet is such an error.
absl::StatusOr<Packet> ReceivePacket(int fd);

}  // namespace mesh::pods
