// The name service of the pods of this node, on one worker loop: a UDP and a TCP listener on
// 127.0.0.1:15053 and ::1:15053 inside each pod's network namespace. Names of the mesh are answered
// from its state; everything else goes unchanged to the server that the application asked, from
// within the pod's namespace, and the answer comes back unchanged.
//
// Owner: cmd. Thread: all methods are for the loop's thread; the main thread posts. Limits a pod:
// 512 forwarded queries in flight (then SERVFAIL at once) and 64 TCP connections (then closed).
#pragma once

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/base/ip.h"
#include "ztunnel/base/netns.h"
#include "ztunnel/base/string_map.h"
#include "ztunnel/core/state/mesh_state.h"
#include "ztunnel/dns/metrics.h"
#include "ztunnel/dns/pod_resolver.h"

namespace mesh::dns {

struct Config {
  ResolverConfig resolver;
  uint16_t port = 15053;  // 0: any (tests)
  // Asked when it is not known whom the application asked.
  std::vector<SocketAddress> fallback_servers;
  absl::Duration timeout = absl::Seconds(5);
};

// The nameservers of a resolv.conf; a file that is not there has none. Loopback addresses are left
// out: they mean something else in a pod.
std::vector<SocketAddress> ReadNameservers(const std::string& path);

class PodServer;

class Worker {
 public:
  Worker(base::EventLoop& loop, Config config, Metrics& metrics);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void SetState(state::MeshStateRef mesh) { mesh_ = std::move(mesh); }
  // An error leaves nothing behind; a pod without IPv6 is served on IPv4 alone.
  absl::Status AddPod(Client client, std::shared_ptr<const Netns> netns);
  void RemovePod(std::string_view uid);  // unknown: fine
  void RemoveAll();

  size_t pods() const { return pods_.size(); }
  uint16_t PortForTest(std::string_view uid) const;

 private:
  friend class PodServer;
  base::EventLoop& loop_;
  const Config config_;
  Metrics& metrics_;
  state::MeshStateRef mesh_;
  StringMap<std::unique_ptr<PodServer>> pods_;
};

}  // namespace mesh::dns
