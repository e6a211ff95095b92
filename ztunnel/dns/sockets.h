// The sockets of the name service: made in a pod's namespace, non-blocking.
#pragma once

#include <absl/status/statusor.h>

#include <optional>

#include "ztunnel/base/ip.h"
#include "ztunnel/base/netns.h"
#include "ztunnel/base/unique_fd.h"

namespace mesh::dns {

// `type` is SOCK_DGRAM or SOCK_STREAM (then listening). SO_REUSEPORT, so that a successor may bind
// while this process drains.
absl::StatusOr<UniqueFd> BindLoopback(const Netns& netns, int type, const SocketAddress& address);

// A UDP socket connected to `server`: only its answers come in, and its ICMP errors are ours.
absl::StatusOr<UniqueFd> ConnectUdp(const Netns& netns, const SocketAddress& server);

// The server that `client` (of this listener's namespace) meant when its datagram was captured, as
// the kernel's programs remember it by the client's port; nothing when they do not.
std::optional<SocketAddress> AskedServer(int listener, const SocketAddress& client);

uint16_t LocalPort(int fd);

}  // namespace mesh::dns
