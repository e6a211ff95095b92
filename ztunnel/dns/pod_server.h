// The listeners of one pod and the queries of it that are on their way to another server.
//
// Owner: Worker. Thread: its loop. Destroying it drops everything at once.
#pragma once

#include <list>
#include <memory>

#include "ztunnel/base/async/task_set.h"
#include "ztunnel/core/net/listener.h"
#include "ztunnel/dns/worker.h"

namespace mesh::dns {

inline constexpr size_t kMaxInFlight = 512;
inline constexpr size_t kMaxTcpClients = 64;

class UdpForward;
class UdpListener;

class PodServer {
 public:
  PodServer(Worker& worker, Client client, std::shared_ptr<const Netns> netns);
  ~PodServer();
  absl::Status Listen();
  uint16_t port() const { return port_; }

  // A datagram that arrived; its answer goes back through `listener`.
  void OnDatagram(UdpListener& listener, const SocketAddress& from, Bytes message);
  // Takes the forward out and destroys it.
  void EndForward(UdpForward& forward);

  Worker& worker() { return worker_; }
  base::EventLoop& loop() { return worker_.loop_; }
  const Config& config() const { return worker_.config_; }
  Metrics& metrics() { return worker_.metrics_; }
  const Netns& netns() const { return *netns_; }
  Verdict DecideNow(Bytes message, Transport transport);
  // Whom to ask: the server that the application asked, else the first fallback.
  std::optional<SocketAddress> ServerFor(std::optional<SocketAddress> asked) const;

 private:
  absl::Status ListenOn(const IpAddress& ip);
  void OnAccept(net::Socket socket);

  Worker& worker_;
  const Client client_;
  const std::shared_ptr<const Netns> netns_;
  uint16_t port_ = 0;
  std::list<std::unique_ptr<UdpListener>> udp_;
  std::list<std::unique_ptr<net::Listener>> tcp_;
  std::list<std::unique_ptr<UdpForward>> forwards_;
  base::TaskSet tcp_clients_;
};

}  // namespace mesh::dns
