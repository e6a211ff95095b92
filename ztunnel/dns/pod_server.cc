#include "ztunnel/dns/pod_server.h"

#include <sys/socket.h>

#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"
#include "ztunnel/dns/sockets.h"
#include "ztunnel/dns/tcp.h"
#include "ztunnel/dns/udp.h"

namespace mesh::dns {

PodServer::PodServer(Worker& worker, Client client, std::shared_ptr<const Netns> netns)
    : worker_(worker), client_(std::move(client)), netns_(std::move(netns)) {}

PodServer::~PodServer() {
  tcp_clients_.CancelAll();
  forwards_.clear();  // they refer to the listeners
}

absl::Status PodServer::Listen() {
  port_ = config().port;
  RETURN_IF_ERROR(ListenOn(*IpAddress::Parse("127.0.0.1")));
  if (!config().resolver.ipv6) return absl::OkStatus();
  if (const absl::Status status = ListenOn(*IpAddress::Parse("::1")); !status.ok()) {
    Logger("dns")->debug("no name service on ::1 pod={} err={}", client_.name, MessageOf(status));
  }
  return absl::OkStatus();
}

absl::Status PodServer::ListenOn(const IpAddress& ip) {
  ASSIGN_OR_RETURN(UniqueFd udp, BindLoopback(*netns_, SOCK_DGRAM, {ip, port_}));
  if (port_ == 0) port_ = LocalPort(udp.get());
  ASSIGN_OR_RETURN(UniqueFd tcp, BindLoopback(*netns_, SOCK_STREAM, {ip, port_}));
  udp_.push_back(std::make_unique<UdpListener>(*this, std::move(udp)));
  tcp_.push_back(std::make_unique<net::Listener>(
      loop(), std::move(tcp), [this](net::Socket socket) { OnAccept(std::move(socket)); }));
  return absl::OkStatus();
}

Verdict PodServer::DecideNow(Bytes message, Transport transport) {
  return Decide(message, transport, worker_.mesh_.get(), client_, config().resolver, metrics());
}

std::optional<SocketAddress> PodServer::ServerFor(std::optional<SocketAddress> asked) const {
  // Never to ourselves: a query to the listener's own address names no server.
  if (asked && !asked->ip.IsLoopback() && asked->port != port_) return asked;
  if (config().fallback_servers.empty()) return std::nullopt;
  return config().fallback_servers.front();
}

void PodServer::OnDatagram(UdpListener& listener, const SocketAddress& from, Bytes message) {
  Verdict verdict = DecideNow(message, Transport::kUdp);
  if (verdict.drop) return;
  if (!verdict.reply.empty()) {
    listener.Send(from, std::as_bytes(std::span(verdict.reply)));
    return;
  }
  if (forwards_.size() >= kMaxInFlight) {
    metrics().Refused();
    const std::string failure = ServerFailure(message, verdict.query);
    listener.Send(from, std::as_bytes(std::span(failure)));
    return;
  }
  metrics().Forwarded(verdict.query.type, Transport::kUdp, verdict.workload.get());
  auto forward = std::make_unique<UdpForward>(*this, listener, from, message, std::move(verdict));
  UdpForward& started = *forward;
  started.self = forwards_.insert(forwards_.end(), std::move(forward));
  const auto upstream = ServerFor(AskedServer(listener.fd(), from));
  if (!upstream || !started.Start(*upstream)) started.Fail();
}

void PodServer::EndForward(UdpForward& forward) { forwards_.erase(forward.self); }

void PodServer::OnAccept(net::Socket socket) {
  if (tcp_clients_.size() >= kMaxTcpClients) {
    metrics().Refused();
    return;
  }
  tcp_clients_.Start(ServeTcp(*this, std::move(socket)));
}

}  // namespace mesh::dns
