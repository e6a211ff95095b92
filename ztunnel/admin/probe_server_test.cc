#include "ztunnel/admin/probe_server.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "ztunnel/base/status.h"

namespace mesh::admin {
namespace {

class Probes : public testing::Test {
 protected:
  void SetUp() override {
    auto server = ProbeServer::Start(loop_, {}, [](const HttpRequest& request) {
      return request.path == "/healthz/ready" ? HttpResponse{.status = 200, .body = "ready\n"}
                                              : HttpResponse{.status = 404, .body = ""};
    });
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    thread_ = std::thread([this] { loop_.Run(); });
  }
  void TearDown() override {
    loop_.Stop();
    if (thread_.joinable()) thread_.join();
  }
  UniqueFd Connect() const {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_storage storage{};
    const SocketAddress to{IpAddress::V4(0x7f000001), server_->port()};
    const socklen_t length = to.ToSockaddr(storage, AF_INET);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&storage), length), 0);
    const timeval limit{3, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
  }
  std::string Ask(const std::string& request) const {
    const UniqueFd fd = Connect();
    ::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL);
    std::string all;
    char buffer[1024];
    ssize_t n;
    while ((n = ::recv(fd.get(), buffer, sizeof buffer, 0)) > 0)
      all.append(buffer, static_cast<size_t>(n));
    return n < 0 ? "<error>" : all;
  }

  base::EventLoop loop_;
  std::unique_ptr<ProbeServer> server_;
  std::thread thread_;
};

TEST_F(Probes, AreAnsweredOneAConnection) {
  const std::string ready = Ask("GET /healthz/ready?x=1 HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(ready.starts_with("HTTP/1.1 200 ")) << ready;
  EXPECT_TRUE(ready.ends_with("\r\n\r\nready\n")) << ready;
  EXPECT_TRUE(Ask("HEAD /healthz/ready HTTP/1.0\r\n\r\n").ends_with("\r\n\r\n"));
  EXPECT_TRUE(Ask("GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
  for (const char* bad : {"POST / HTTP/1.1\r\n\r\n", "GET\r\n\r\n", "\r\n\r\n",
                          "GET x HTTP/1.1\r\n\r\n", "GET / SSH-2.0\r\n\r\n"}) {
    EXPECT_TRUE(Ask(bad).starts_with("HTTP/1.1 400 ")) << bad;
  }
  EXPECT_EQ(Ask(std::string(5000, 'x')).find("200"), std::string::npos);
}

TEST_F(Probes, NobodyWhoHoldsConnectionsKeepsOthersFromTheirAnswer) {
  std::vector<UniqueFd> held;
  for (size_t i = 0; i < ProbeServer::kMaxConnections + 20; ++i) {
    held.push_back(Connect());
    ::send(held.back().get(), "GET /", 5, MSG_NOSIGNAL);
  }
  EXPECT_TRUE(Ask("GET /healthz/ready HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 "));
  // The oldest gave way, the newest is there.
  char byte;
  EXPECT_LE(::recv(held.front().get(), &byte, 1, 0), 0);
  EXPECT_EQ(::recv(held.back().get(), &byte, 1, MSG_DONTWAIT), -1);
  EXPECT_EQ(errno, EAGAIN);
}

}  // namespace
}  // namespace mesh::admin
