#include "tests/bpf/standin.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "bpf/include/mesh_abi.h"
#include "proto/zds.pb.h"
#include "ztunnel/base/ip.h"
#include "ztunnel/base/netns.h"
#include "ztunnel/base/unique_fd.h"

namespace mesh::test {
namespace {

using istio::workload::zds::WorkloadRequest;
using istio::workload::zds::WorkloadResponse;
using istio::workload::zds::ZdsHello;

// Threads come and go with the process; listeners are shut down when their pod goes.
struct Pod {
  std::shared_ptr<Netns> netns;
  std::vector<int> listeners;
};

int Bind(const Netns& netns, int type, const char* address, uint16_t port) {
  const auto fd = netns.Run([&]() -> absl::StatusOr<int> {
    const SocketAddress to{*IpAddress::Parse(address), port};
    sockaddr_storage storage;
    const socklen_t length = to.ToSockaddr(storage, to.family());
    const int s = ::socket(to.family(), type | SOCK_CLOEXEC, 0);
    const int one = 1;
    ::setsockopt(s, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
    if (::bind(s, reinterpret_cast<sockaddr*>(&storage), length) != 0) return -1;
    if (type == SOCK_STREAM && ::listen(s, 64) != 0) return -1;
    return s;
  });
  return fd.ok() ? *fd : -1;
}

void Say(int fd, const std::string& text) {
  [[maybe_unused]] const ssize_t n = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
}

void ServeOutbound(int listener) {
  for (int fd; (fd = ::accept(listener, nullptr, nullptr)) >= 0; ::close(fd))
    Say(fd, "to " + OriginalDst(fd) + "\n");
  ::close(listener);
}

// With the client's address as the source, as ztunnel does; -1 when it fails.
int ConnectAs(const IpAddress& source, const SocketAddress& to) {
  const bool v4 = to.ip.IsV4();
  const int fd = ::socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
  const uint32_t mark = MESH_ORIG_SRC_MARK;
  ::setsockopt(fd, v4 ? SOL_IP : SOL_IPV6, v4 ? IP_TRANSPARENT : IPV6_TRANSPARENT, &one,
               sizeof(one));
  ::setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
  sockaddr_storage storage;
  socklen_t length = SocketAddress{source, 0}.ToSockaddr(storage, to.family());
  if (::bind(fd, reinterpret_cast<sockaddr*>(&storage), length) != 0) return -1;
  length = to.ToSockaddr(storage, to.family());
  return ::connect(fd, reinterpret_cast<sockaddr*>(&storage), length) == 0 ? fd : -1;
}

void ServeInbound(int listener, std::shared_ptr<Netns> netns) {
  sockaddr_storage peer;
  socklen_t length = sizeof(peer);
  for (int fd; (fd = ::accept(listener, reinterpret_cast<sockaddr*>(&peer), &length)) >= 0;
       ::close(fd), length = sizeof(peer)) {
    const auto to = SocketAddress::Parse(OriginalDst(fd));
    const auto from = SocketAddress::FromSockaddr(peer);
    if (!to || !from) continue;
    const auto app = netns->Run([&]() -> absl::StatusOr<int> { return ConnectAs(from->ip, *to); });
    if (!app.ok() || *app < 0) continue;
    char buffer[512];
    std::string text = "via daemon: ";
    for (ssize_t n; (n = ::recv(*app, buffer, sizeof(buffer), 0)) > 0;)
      text.append(buffer, static_cast<size_t>(n));
    ::close(*app);
    Say(fd, text);
  }
  ::close(listener);
}

void ServeDns(int fd) {
  char buffer[512];
  sockaddr_storage from = {}, server = {};
  // Nothing: Stop() shut it down.
  for (socklen_t length = sizeof(from);
       ::recvfrom(fd, buffer, sizeof(buffer), 0, reinterpret_cast<sockaddr*>(&from), &length) > 0;
       length = sizeof(from)) {
    const auto client = SocketAddress::FromSockaddr(from);
    socklen_t server_length = sizeof(server);
    std::string text = "server unknown";
    if (::getsockopt(fd, MESH_SOL_DNS, client->port, &server, &server_length) == 0) {
      text = "server " + SocketAddress::FromSockaddr(server)->ToString();
    }
    ::sendto(fd, text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(&from), length);
  }
  ::close(fd);
}

std::string Start(Pod& pod) {
  const struct {
    int type;
    const char* address;
    uint16_t port;
  } binds[] = {{SOCK_STREAM, "127.0.0.1", MESH_PORT_OUTBOUND},
               {SOCK_STREAM, "::1", MESH_PORT_OUTBOUND},
               {SOCK_STREAM, "127.0.0.1", MESH_PORT_DNS},
               {SOCK_STREAM, "::1", MESH_PORT_DNS},
               {SOCK_STREAM, "::", MESH_PORT_INBOUND_PLAINTEXT},
               {SOCK_DGRAM, "127.0.0.1", MESH_PORT_DNS},
               {SOCK_DGRAM, "::1", MESH_PORT_DNS}};
  for (const auto& b : binds) {
    const int fd = Bind(*pod.netns, b.type, b.address, b.port);
    if (fd < 0) return std::string("cannot bind ") + b.address + " port " + std::to_string(b.port);
    pod.listeners.push_back(fd);
    if (b.type == SOCK_DGRAM) {
      std::thread(ServeDns, fd).detach();
    } else if (b.port == MESH_PORT_INBOUND_PLAINTEXT) {
      std::thread(ServeInbound, fd, pod.netns).detach();
    } else {
      std::thread(ServeOutbound, fd).detach();
    }
  }
  return "";
}

int ConnectZds(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  for (int i = 0; i < 500; ++i, ::usleep(20'000)) {
    const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) return fd;
    ::close(fd);
  }
  ::_exit(3);
}

bool Receive(int fd, WorkloadRequest& request, UniqueFd& netns) {
  char buffer[1024];
  alignas(cmsghdr) char control[64];
  iovec data = {.iov_base = buffer, .iov_len = sizeof(buffer)};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t n = ::recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
  if (n <= 0) return false;
  if (const cmsghdr* header = CMSG_FIRSTHDR(&message)) {
    int got;
    std::memcpy(&got, CMSG_DATA(header), sizeof(got));
    netns.Reset(got);
  }
  return request.ParseFromArray(buffer, static_cast<int>(n));
}

void Stop(Pod& pod) {
  for (const int fd : pod.listeners) ::shutdown(fd, SHUT_RDWR);
}

}  // namespace

std::string OriginalDst(int fd) {
  sockaddr_storage local = {}, out = {};
  socklen_t length = sizeof(local);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&local), &length);
  length = sizeof(out);
  const int level = local.ss_family == AF_INET ? SOL_IP : SOL_IPV6;
  if (::getsockopt(fd, level, 80, &out, &length) != 0) return "none";
  return SocketAddress::FromSockaddr(out)->ToString();
}

void RunStandin(const std::string& zds_socket) {
  std::map<std::string, Pod> pods;
  for (;;) {
    const int fd = ConnectZds(zds_socket);
    ZdsHello hello;
    hello.set_version(istio::workload::zds::V1);
    Say(fd, hello.SerializeAsString());
    WorkloadRequest request;
    for (UniqueFd netns; Receive(fd, request, netns); netns.Reset()) {
      WorkloadResponse answer;
      answer.mutable_ack();
      if (request.has_add() && !pods.contains(request.add().uid())) {
        Pod pod{.netns = std::make_shared<Netns>(std::move(netns)), .listeners = {}};
        answer.mutable_ack()->set_error(Start(pod));
        pods.emplace(request.add().uid(), std::move(pod));
      }
      if (request.has_del() && pods.contains(request.del().uid())) {
        Stop(pods.at(request.del().uid()));
        pods.erase(request.del().uid());
      }
      Say(fd, answer.SerializeAsString());
    }
    ::close(fd);
  }
}

}  // namespace mesh::test
