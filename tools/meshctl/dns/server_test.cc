// The name server over real sockets of this namespace's loopback, with a resolver of the test's own
// in the place of the machine's.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <thread>

#include "tools/meshctl/dns/listener.h"

namespace mesh::local {
namespace {

const SocketAddress kAny = {*IpAddress::Parse("127.0.0.1"), 0};

// A question for A, with the given name of two labels or more.
std::string Question(const std::string& name, char id = 7) {
  std::string message = {0, id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
  for (size_t at = 0; at < name.size();) {
    const size_t dot = std::min(name.find('.', at), name.size());
    message += static_cast<char>(dot - at);
    message += name.substr(at, dot - at);
    at = dot + 1;
  }
  message += std::string("\0\0\1\0\1", 5);
  return message;
}

int RcodeOf(const std::string& reply) { return reply.size() < 12 ? -1 : reply[3] & 15; }
int AnswersIn(const std::string& reply) { return reply.size() < 12 ? -1 : reply[7]; }

UniqueFd Connect(uint16_t port, int type) {
  UniqueFd fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
  const timeval limit = {.tv_sec = 5, .tv_usec = 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  sockaddr_storage to;
  const socklen_t length = SocketAddress{kAny.ip, port}.ToSockaddr(to, AF_INET);
  EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), length), 0);
  return fd;
}

std::string AskUdp(uint16_t port, const std::string& question) {
  const UniqueFd fd = Connect(port, SOCK_DGRAM);
  ::send(fd.get(), question.data(), question.size(), 0);
  std::string reply(4096, '\0');
  const ssize_t n = ::recv(fd.get(), reply.data(), reply.size(), 0);
  reply.resize(n > 0 ? static_cast<size_t>(n) : 0);
  return reply;
}

std::string AskTcp(const UniqueFd& fd, const std::string& question) {
  const std::string framed = std::string{0, static_cast<char>(question.size())} + question;
  ::send(fd.get(), framed.data(), framed.size(), MSG_NOSIGNAL);
  uint8_t size[2] = {};
  if (::recv(fd.get(), size, 2, MSG_WAITALL) != 2) return "";
  std::string reply(static_cast<size_t>(size[0] << 8 | size[1]), '\0');
  return ::recv(fd.get(), reply.data(), reply.size(), MSG_WAITALL) < 0 ? "" : reply;
}

class DnsServer : public testing::Test {
 protected:
  DnsServer() : zone_(catalog_), upstream_(loop_) {
    const auto json = k8s::FromText(
        R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"web","namespace":"shop"},
            "spec":{"clusterIP":"10.96.7.1","ports":[{"port":80}]}})");
    std::vector<k8s::Issue> issues;
    catalog_.Apply({{.object = *k8s::DecodeObject(*json, issues)}});
    const auto netns = Netns::Current();
    auto listener = DnsListener::Listen(loop_, *netns, kAny, zone_, upstream_);
    EXPECT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
  }
  ~DnsServer() override {
    loop_.Stop();
    if (thread_.joinable()) thread_.join();
  }
  void Run(const std::vector<SocketAddress>& servers) {
    upstream_.SetServers(servers);
    thread_ = std::thread([this] { loop_.Run(); });
  }

  base::EventLoop loop_;
  k8s::ServiceCatalog catalog_;
  Zone zone_;
  Upstream upstream_;
  std::unique_ptr<DnsListener> listener_;
  std::thread thread_;
};

// Answers every question with NXDOMAIN, once to each.
class Resolver {
 public:
  Resolver() : fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_storage storage;
    socklen_t length = kAny.ToSockaddr(storage, AF_INET);
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&storage), length), 0);
    ::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&storage), &length);
    address_ = *SocketAddress::FromSockaddr(storage);
  }
  const SocketAddress& address() const { return address_; }
  // Serves one question; `spoof_first` sends an answer to another question before.
  void ServeOne(bool spoof_first) const {
    std::string message(512, '\0');
    sockaddr_storage from{};
    socklen_t length = sizeof(from);
    const ssize_t n = ::recvfrom(fd_.get(), message.data(), message.size(), 0,
                                 reinterpret_cast<sockaddr*>(&from), &length);
    message.resize(n > 0 ? static_cast<size_t>(n) : 0);
    message[2] = static_cast<char>(0x81);
    message[3] = static_cast<char>(0x83);
    const auto send = [&](const std::string& text) {
      ::sendto(fd_.get(), text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(&from), length);
    };
    std::string spoofed = message;
    spoofed[1] = static_cast<char>(spoofed[1] + 1);
    if (spoof_first) send(spoofed);
    send(message);
  }

 private:
  UniqueFd fd_;
  SocketAddress address_;
};

TEST_F(DnsServer, NamesOfTheClusterOverBothTransports) {
  Run({});
  const std::string question = Question("web.shop.svc.cluster.local");
  const std::string reply = AskUdp(listener_->port(), question);
  EXPECT_EQ(RcodeOf(reply), 0);
  EXPECT_EQ(AnswersIn(reply), 1);
  EXPECT_EQ(reply.substr(reply.size() - 4), std::string("\x0a\x60\x07\x01", 4));
  const UniqueFd tcp = Connect(listener_->port(), SOCK_STREAM);
  EXPECT_EQ(AskTcp(tcp, question), reply);
  EXPECT_EQ(RcodeOf(AskTcp(tcp, Question("no.shop.svc.cluster.local"))), 3) << "same connection";
}

TEST_F(DnsServer, AllElseComesBackFromTheResolverUnchanged) {
  const Resolver resolver;
  Run({resolver.address()});
  std::thread serve([&] { resolver.ServeOne(/*spoof_first=*/true); });
  const std::string reply = AskUdp(listener_->port(), Question("www.example.com"));
  serve.join();
  EXPECT_EQ(reply.size(), Question("www.example.com").size());
  EXPECT_EQ(reply[1], 7) << "not the answer of somebody else's question";
  EXPECT_EQ(RcodeOf(reply), 3);
}

TEST_F(DnsServer, WithoutAResolverAllElseFailsAtOnce) {
  SocketAddress nobody;
  {
    const Resolver gone;
    nobody = gone.address();
  }
  Run({nobody});
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(RcodeOf(AskUdp(listener_->port(), Question("www.example.com"))), 2);
  EXPECT_EQ(RcodeOf(AskTcp(Connect(listener_->port(), SOCK_STREAM), Question("www.example.com"))),
            2);
}

TEST_F(DnsServer, ASilentResolverIsPassedOver) {
  const Resolver silent, resolver;
  Run({silent.address(), resolver.address()});
  std::thread serve([&] {
    resolver.ServeOne(false);
    resolver.ServeOne(false);
  });
  EXPECT_EQ(RcodeOf(AskUdp(listener_->port(), Question("www.example.com"))), 3);
  const auto before = std::chrono::steady_clock::now();
  EXPECT_EQ(RcodeOf(AskUdp(listener_->port(), Question("www.example.com"))), 3);
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(1));
  serve.join();
}

TEST_F(DnsServer, WhatIsNoQuestionIsAnsweredAsSuchOrDropped) {
  Run({});
  EXPECT_EQ(RcodeOf(AskUdp(listener_->port(), std::string(12, '\0'))), 1);
  const UniqueFd tcp = Connect(listener_->port(), SOCK_STREAM);
  EXPECT_EQ(AskTcp(tcp, "short"), "") << "closed";
}

}  // namespace
}  // namespace mesh::local
