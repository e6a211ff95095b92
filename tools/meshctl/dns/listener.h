// UDP and TCP on one address: questions in, answers out.
//
// Owner: the name server's main. Thread: the loop's. At most kMaxTcpClients connections, each
// closed when it is silent for kTcpIdle.
#pragma once

#include <absl/status/statusor.h>

#include <memory>

#include "tools/meshctl/dns/stream.h"
#include "tools/meshctl/dns/upstream.h"
#include "tools/meshctl/dns/zone.h"
#include "ztunnel/base/async/task_set.h"
#include "ztunnel/base/netns.h"

namespace mesh::local {

inline constexpr size_t kMaxTcpClients = 64;
inline constexpr absl::Duration kTcpIdle = absl::Seconds(10);

// What a message is answered with, wherever it came from. Empty: nothing, it is no question.
base::Task<std::string> AnswerTo(std::string message, bool tcp, const Zone& zone,
                                 Upstream& upstream);

class DnsListener {
 public:
  // In the namespace; `zone` and `upstream` outlive it. Port 0: any, the same for both.
  static absl::StatusOr<std::unique_ptr<DnsListener>> Listen(base::EventLoop& loop,
                                                             const Netns& netns,
                                                             const SocketAddress& address,
                                                             const Zone& zone, Upstream& upstream);
  ~DnsListener();
  DnsListener(const DnsListener&) = delete;
  DnsListener& operator=(const DnsListener&) = delete;

  uint16_t port() const { return port_; }

 private:
  class Ready;
  DnsListener(base::EventLoop& loop, const Zone& zone, Upstream& upstream);
  void OnDatagrams();
  void OnConnections();
  base::Task<void> ServeDatagram(std::string message, SocketAddress from);
  base::Task<void> ServeStream(UniqueFd fd);

  base::EventLoop& loop_;
  const Zone& zone_;
  Upstream& upstream_;
  uint16_t port_ = 0;
  UniqueFd udp_, tcp_;
  std::unique_ptr<Ready> on_udp_, on_tcp_;
  base::TaskSet datagrams_, streams_;
};

}  // namespace mesh::local
