#include "ztunnel/pods/zds_packet.h"

#include <sys/socket.h>

#include <cstring>

#include "proto/zds.pb.h"
#include "ztunnel/base/status.h"

namespace mesh::pods {
namespace {

namespace zds = istio::workload::zds;
constexpr size_t kMaxErrorBytes = 900;
constexpr size_t kMaxFds = 4;  // room to see that there are too many

absl::Status ExpectFds(size_t have, size_t want, std::string_view what) {
  if (have == want) return absl::OkStatus();
  return Invalid("{} with {} file descriptors, {} expected", what, have, want);
}

}  // namespace

absl::StatusOr<Request> DecodeRequest(std::string_view packet, std::vector<UniqueFd> fds) {
  zds::WorkloadRequest message;
  if (!message.ParseFromArray(packet.data(), static_cast<int>(packet.size()))) {
    return Invalid("workload request of {} bytes cannot be decoded", packet.size());
  }
  switch (message.payload_case()) {
    case zds::WorkloadRequest::kAdd: {
      RETURN_IF_ERROR(ExpectFds(fds.size(), 1, "add"));
      const zds::AddWorkload& add = message.add();
      AddRequest request;
      request.uid = add.uid();
      request.has_info = add.has_workload_info();
      request.name = add.workload_info().name();
      request.ns = add.workload_info().namespace_();
      request.service_account = add.workload_info().service_account();
      request.netns = std::move(fds.front());
      return Request(std::move(request));
    }
    case zds::WorkloadRequest::kKeep:
      RETURN_IF_ERROR(ExpectFds(fds.size(), 0, "keep"));
      return Request(KeepRequest{message.keep().uid()});
    case zds::WorkloadRequest::kDel:
      RETURN_IF_ERROR(ExpectFds(fds.size(), 0, "del"));
      return Request(DelRequest{message.del().uid()});
    case zds::WorkloadRequest::kSnapshotSent:
      RETURN_IF_ERROR(ExpectFds(fds.size(), 0, "snapshot_sent"));
      return Request(SnapshotSentRequest{});
    case zds::WorkloadRequest::PAYLOAD_NOT_SET:
      break;
  }
  return Invalid("workload request without a payload that is known here");
}

std::string EncodeHello() {
  zds::ZdsHello hello;
  hello.set_version(zds::V1);
  return hello.SerializeAsString();
}

std::string EncodeAck(std::string_view error) {
  zds::WorkloadResponse response;
  response.mutable_ack()->set_error(std::string(error.substr(0, kMaxErrorBytes)));
  return response.SerializeAsString();
}

absl::StatusOr<Packet> ReceivePacket(int fd) {
  Packet packet;
  packet.bytes.resize(kMaxPacketBytes);
  iovec iov{packet.bytes.data(), packet.bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))];
  msghdr msg{};
  msg.msg_iov = &iov;
  msg.msg_iovlen = 1;
  msg.msg_control = control;
  msg.msg_controllen = sizeof(control);
  const ssize_t n = ::recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
  if (n < 0) {
    if (errno == EAGAIN || errno == EINTR) return Unavailable("nothing to read");
    return Errno(errno, "receive from the node agent");
  }
  for (cmsghdr* c = CMSG_FIRSTHDR(&msg); c != nullptr; c = CMSG_NXTHDR(&msg, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int received = -1;
      std::memcpy(&received, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
      packet.fds.emplace_back(received);
    }
  }
  if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
    return Invalid("a packet of the node agent was cut");
  if (n == 0 && packet.fds.empty()) return Cancelled("the node agent closed the connection");
  packet.bytes.resize(static_cast<size_t>(n));
  return packet;
}

}  // namespace mesh::pods
