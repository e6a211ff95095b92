#include "agent/node/enroll/netlink.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "ztunnel/base/status.h"
#include "ztunnel/base/unique_fd.h"

namespace mesh::node {

void NetlinkRequest::Append(const void* bytes, size_t size) {
  const auto* from = static_cast<const char*>(bytes);
  buffer_.insert(buffer_.end(), from, from + size);
  buffer_.resize(NLMSG_ALIGN(buffer_.size()));
}

void NetlinkRequest::Start(uint16_t type, uint16_t flags, const void* body, size_t size) {
  nlmsghdr header = {};
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
  header.nlmsg_seq = 1;
  Append(&header, sizeof(header));
  Append(body, size);
}

NetlinkRequest& NetlinkRequest::AttributeBytes(uint16_t type, const void* bytes, size_t size) {
  rtattr attribute = {};
  attribute.rta_type = type;
  attribute.rta_len = static_cast<uint16_t>(RTA_LENGTH(size));
  Append(&attribute, sizeof(attribute));
  Append(bytes, size);
  return *this;
}

absl::Status NetlinkRequest::Send(std::string_view what, int tolerated) const {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd) return Errno(errno, "{}: netlink socket", what);
  std::vector<char> message = buffer_;
  reinterpret_cast<nlmsghdr*>(message.data())->nlmsg_len = static_cast<uint32_t>(message.size());
  if (::send(fd.get(), message.data(), message.size(), 0) < 0)
    return Errno(errno, "{}: send", what);
  alignas(nlmsghdr) char reply[8192];
  const ssize_t n = ::recv(fd.get(), reply, sizeof(reply), 0);
  if (n < 0) return Errno(errno, "{}: receive", what);
  const auto* header = reinterpret_cast<const nlmsghdr*>(reply);
  if (!NLMSG_OK(header, static_cast<size_t>(n)) || header->nlmsg_type != NLMSG_ERROR) {
    return Internal("{}: the kernel's answer is no acknowledgement", what);
  }
  nlmsgerr answer;
  std::memcpy(&answer, NLMSG_DATA(header), sizeof(answer));
  if (answer.error == 0 || -answer.error == tolerated) return absl::OkStatus();
  return Errno(-answer.error, "{}", what);
}

}  // namespace mesh::node
