// The UDP side of a pod's name service: the listener, and one forwarded query.
#pragma once

#include <array>
#include <list>

#include "ztunnel/dns/pod_server.h"

namespace mesh::dns {

class UdpListener final : public base::EventHandler {
 public:
  UdpListener(PodServer& server, UniqueFd fd);
  ~UdpListener() override;

  void OnEvents(uint32_t events) override;
  // Best effort, as UDP is: an answer that finds no buffer is lost and asked for again.
  void Send(const SocketAddress& to, Bytes message);
  int fd() const { return fd_.get(); }

 private:
  void Watch();
  void ReadSome();

  PodServer& server_;
  UniqueFd fd_;
  base::EventLoop::TimerId more_ = 0;
};

// One query on its way, on a socket (and so a source port) of its own. Ends with the answer, an
// ICMP error or the timeout, and always answers the client.
class UdpForward final : public base::EventHandler {
 public:
  UdpForward(PodServer& server, UdpListener& listener, const SocketAddress& client, Bytes message,
             Verdict verdict);
  ~UdpForward() override;

  // False: the query cannot even be sent.
  bool Start(const SocketAddress& upstream);
  void OnEvents(uint32_t events) override;
  void Fail();

  std::list<std::unique_ptr<UdpForward>>::iterator self;

 private:
  PodServer& server_;
  UdpListener& listener_;
  const SocketAddress client_;
  const std::string message_;
  const Verdict verdict_;
  UniqueFd fd_;
  absl::Time sent_;
  base::EventLoop::TimerId timer_ = 0;
};

}  // namespace mesh::dns
