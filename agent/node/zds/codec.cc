#include "agent/node/zds/codec.h"

#include "proto/zds.pb.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::node::zds {
namespace {

using istio::workload::zds::Version;
using istio::workload::zds::WorkloadRequest;
using istio::workload::zds::WorkloadResponse;
using istio::workload::zds::ZdsHello;

absl::StatusOr<std::string> Encode(const WorkloadRequest& request, std::string_view uid) {
  std::string packet = request.SerializeAsString();
  if (packet.size() > kMaxPacketBytes) {
    return Invalid("pod {}: its names take {} bytes, a packet holds {}", uid, packet.size(),
                   kMaxPacketBytes);
  }
  return packet;
}

}  // namespace

absl::StatusOr<std::string> Add(const PodInfo& pod) {
  WorkloadRequest request;
  auto& add = *request.mutable_add();
  add.set_uid(pod.uid);
  add.mutable_workload_info()->set_name(pod.name);
  add.mutable_workload_info()->set_namespace_(pod.ns);
  add.mutable_workload_info()->set_service_account(pod.service_account);
  return Encode(request, pod.uid);
}

absl::StatusOr<std::string> Keep(std::string_view uid) {
  WorkloadRequest request;
  request.mutable_keep()->set_uid(std::string(uid));
  return Encode(request, uid);
}

absl::StatusOr<std::string> Del(std::string_view uid) {
  WorkloadRequest request;
  request.mutable_del()->set_uid(std::string(uid));
  return Encode(request, uid);
}

std::string SnapshotSent() {
  WorkloadRequest request;
  request.mutable_snapshot_sent();
  return request.SerializeAsString();
}

absl::Status CheckHello(std::string_view packet) {
  ZdsHello hello;
  if (!hello.ParseFromArray(packet.data(), static_cast<int>(packet.size()))) {
    return Invalid("hello: {} bytes that are no ZdsHello", packet.size());
  }
  if (hello.version() != Version::V1) {
    return Invalid("hello: version {} is not spoken here", static_cast<int>(hello.version()));
  }
  return absl::OkStatus();
}

absl::Status CheckAck(std::string_view packet) {
  WorkloadResponse response;
  if (!response.ParseFromArray(packet.data(), static_cast<int>(packet.size())) ||
      !response.has_ack()) {
    return Invalid("answer: {} bytes that are no ack", packet.size());
  }
  const std::string& error = response.ack().error();
  if (error.empty()) return absl::OkStatus();
  return MakeStatus(absl::StatusCode::kAborted, "ztunnel: {}", Quoted(error));
}

}  // namespace mesh::node::zds
