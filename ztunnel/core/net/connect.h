// Opens TCP connections and listeners, in a pod's network namespace where one is given.
#pragma once

#include <absl/status/statusor.h>

#include <optional>

#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/base/async/task.h"
#include "ztunnel/base/netns.h"
#include "ztunnel/core/net/socket.h"

namespace mesh::net {

struct ConnectTarget {
  const Netns* netns = nullptr;  // null: where the thread is. Must outlive the start of the call.
  SocketAddress address;
  // The connection comes from this address (IP_TRANSPARENT, any port) though it may be another
  // host's; replies find the way back by `mark` (0 sets none).
  std::optional<IpAddress> source;
  uint32_t mark = 0;
  absl::Duration timeout = absl::Seconds(10);
  SocketOptions options;
};

// `error` is the errno of a failure (ECONNREFUSED, ETIMEDOUT, ...): callers turn it into a reason.
struct ConnectResult {
  Socket socket;
  int error = 0;
};
base::Task<ConnectResult> Connect(base::EventLoop& loop, ConnectTarget target);

struct ListenOptions {
  uint16_t port = 0;  // 0: any
  bool ipv6 = true;   // [::] for both families; IPv4 alone where the kernel or the pod has no IPv6
  bool reuse_port = true;
  // Takes connections whose destination is another's address (IP_TRANSPARENT), where permitted.
  bool transparent = false;
};
absl::StatusOr<UniqueFd> Listen(const Netns* netns, const ListenOptions& options);

}  // namespace mesh::net
