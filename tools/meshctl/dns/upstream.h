// The machine's own resolvers: asked for what is not the cluster's, with the question and its
// answer unchanged.
//
// Owner: the name server's main. Thread: the loop's. At most kMaxInFlight questions wait at a time.
// A server that does not answer is passed over for a while, so that on a machine without network
// names fail at once.
#pragma once

#include <string>
#include <vector>

#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/base/async/task.h"
#include "ztunnel/base/dns/message.h"
#include "ztunnel/base/ip.h"

namespace mesh::local {

inline constexpr size_t kMaxInFlight = 512;
inline constexpr absl::Duration kUpstreamTimeout = absl::Seconds(2);
inline constexpr absl::Duration kUpstreamPause = absl::Seconds(10);

class Upstream {
 public:
  explicit Upstream(base::EventLoop& loop) : loop_(loop) {}

  // Those of a resolv.conf, in their order. The same list again changes nothing.
  void SetServers(const std::vector<SocketAddress>& servers);
  // Over the transport that the question came by. Empty: nobody answered.
  base::Task<std::string> Ask(std::string message, dns::Query query, bool tcp);

 private:
  struct Server {
    SocketAddress address;
    absl::Time retry_at = absl::InfinitePast();
  };

  base::EventLoop& loop_;
  std::vector<Server> servers_;
  size_t in_flight_ = 0;
};

// The nameservers of a resolv.conf; a file that is not there has none.
std::vector<SocketAddress> ReadNameservers(const std::string& path);

}  // namespace mesh::local
