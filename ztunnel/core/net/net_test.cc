#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "ztunnel/base/async/event.h"
#include "ztunnel/base/async/task_set.h"
#include "ztunnel/core/net/buffer.h"
#include "ztunnel/core/net/connect.h"
#include "ztunnel/core/net/listener.h"

namespace mesh::net {
namespace {

std::span<const std::byte> Bytes(std::string_view s) { return std::as_bytes(std::span(s)); }

TEST(Buffer, KeepsOrderWhileItMovesAndGrows) {
  Buffer buffer(16);
  std::string expected, got;
  for (int i = 0; i < 1000; ++i) {
    const std::string piece(static_cast<size_t>(i % 37), static_cast<char>('a' + i % 26));
    buffer.Append(Bytes(piece));
    expected += piece;
    const size_t n = std::min<size_t>(buffer.size(), static_cast<size_t>(i % 41));
    got.append(reinterpret_cast<const char*>(buffer.data().data()), n);
    buffer.Consume(n);
  }
  got.append(reinterpret_cast<const char*>(buffer.data().data()), buffer.size());
  EXPECT_EQ(got, expected);
}

TEST(Buffer, IsEmptyWhenItWasMovedFrom) {
  Buffer from(64);
  from.Append(Bytes("abc"));
  Buffer to(std::move(from));
  EXPECT_TRUE(from.empty());
  EXPECT_EQ(from.capacity(), 0u);
  from.Append(Bytes("x"));  // memory of its own
  from = std::move(to);
  EXPECT_EQ(from.size(), 3u);
  EXPECT_TRUE(to.empty());
}

SocketAddress Loopback(uint16_t port) { return {IpAddress::V4(0x7f000001), port}; }

base::Task<void> Dial(base::EventLoop& loop, ConnectTarget target, ConnectResult& out) {
  out = co_await Connect(loop, std::move(target));
  loop.Stop();
}

TEST(Connect, ReachesAListenerOfBothFamilies) {
  base::EventLoop loop;
  auto fd = Listen(nullptr, {});
  ASSERT_TRUE(fd.ok()) << fd.status();
  Socket accepted;
  Listener listener(loop, std::move(*fd), [&](Socket s) { accepted = std::move(s); });
  ConnectTarget target;
  target.address = Loopback(listener.port());
  ConnectResult result;
  base::TaskSet tasks;
  tasks.Start(Dial(loop, target, result));
  loop.Run();
  ASSERT_EQ(result.error, 0);
  loop.After(absl::Milliseconds(20), [&] { loop.Stop(); });
  loop.Run();
  ASSERT_TRUE(accepted);
  EXPECT_EQ(accepted.PeerAddress(), result.socket.LocalAddress());
  int nodelay = 0;
  socklen_t length = sizeof nodelay;
  getsockopt(accepted.fd(), IPPROTO_TCP, TCP_NODELAY, &nodelay, &length);
  EXPECT_NE(nodelay, 0);
  EXPECT_EQ(accepted.OriginalDestination(), std::nullopt);

  // A reset on one side is seen as one on the other.
  accepted.Reset();
  std::array<std::byte, 8> bytes;
  const IoResult read = result.socket.Read(bytes);
  EXPECT_EQ(read.kind, IoResult::Kind::kError);
  EXPECT_EQ(read.error, ECONNRESET);
}

TEST(Listener, TakesAllThatWaitsBeforeItGoes) {
  base::EventLoop loop;
  auto fd = Listen(nullptr, {});
  ASSERT_TRUE(fd.ok()) << fd.status();
  std::vector<Socket> accepted;
  auto listener = std::make_unique<Listener>(loop, std::move(*fd),
                                             [&](Socket s) { accepted.push_back(std::move(s)); });
  std::vector<UniqueFd> clients;
  sockaddr_storage storage{};
  const socklen_t length = Loopback(listener->port()).ToSockaddr(storage, AF_INET);
  for (int i = 0; i < 100; ++i) {
    clients.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(connect(clients.back().get(), reinterpret_cast<sockaddr*>(&storage), length), 0);
  }
  listener->AcceptAll();
  listener.reset();
  ASSERT_EQ(accepted.size(), clients.size());
  char byte;
  EXPECT_EQ(recv(clients.back().get(), &byte, 1, MSG_DONTWAIT), -1);
  EXPECT_EQ(errno, EAGAIN) << "was reset";
}

TEST(Connect, TellsThatNobodyListens) {
  base::EventLoop loop;
  uint16_t port;
  {
    auto fd = Listen(nullptr, {.reuse_port = false});
    ASSERT_TRUE(fd.ok());
    port = Listener(loop, std::move(*fd), [](Socket) {}).port();
  }
  ConnectTarget target;
  target.address = Loopback(port);
  ConnectResult result;
  base::TaskSet tasks;
  loop.Post([&] { tasks.Start(Dial(loop, target, result)); });
  loop.After(absl::Seconds(2), [&] { loop.Stop(); });
  loop.Run();
  EXPECT_EQ(result.error, ECONNREFUSED);
}

TEST(Connect, GivesUpWhenTheTimePassed) {
  base::EventLoop loop;
  auto fd = Listen(nullptr, {.ipv6 = false, .reuse_port = false});
  ASSERT_TRUE(fd.ok());
  listen(fd->get(), 0);  // a full backlog drops the SYN
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  getsockname(fd->get(), reinterpret_cast<sockaddr*>(&storage), &length);
  const uint16_t port = SocketAddress::FromSockaddr(storage)->port;
  std::vector<ConnectResult> results(4);
  base::TaskSet tasks;
  for (auto& result : results) {
    ConnectTarget target;
    target.address = Loopback(port);
    target.timeout = absl::Milliseconds(30);
    tasks.Start([](base::EventLoop& l, ConnectTarget t, ConnectResult& r) -> base::Task<void> {
      r = co_await Connect(l, std::move(t));
    }(loop, target, result));
  }
  loop.After(absl::Milliseconds(100), [&] { loop.Stop(); });
  loop.Run();
  EXPECT_EQ(results.back().error, ETIMEDOUT);
}

}  // namespace
}  // namespace mesh::net
