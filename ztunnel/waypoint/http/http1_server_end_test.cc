// How a server's connection ends: drained, idle, too slow.
#include <gtest/gtest.h>

#include "ztunnel/waypoint/http/http1_server.h"
#include "ztunnel/waypoint/http/test_server.h"
#include "ztunnel/waypoint/http/test_transport.h"

namespace mesh::http {
namespace {

constexpr std::string_view kGet = "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n";

struct Fixture {
  base::EventLoop loop;
  TestPeer peer{loop};
  TestServer server;
  std::unique_ptr<ServerConnection> connection;
  explicit Fixture(Limits limits = {}) {
    connection = MakeHttp1Server(loop, peer.MakeTransport(), server, limits);
  }
  void AnswerAll() {
    server.on_request = [](TestRequest& request) { request.Answer(200, "ok"); };
  }
};

TEST(Http1ServerEnd, DrainFinishesWhatIsInProgress) {
  Fixture f;
  f.peer.Send(kGet);
  f.connection->Drain();
  f.peer.RunLoop();
  EXPECT_FALSE(f.peer.ended());
  f.server[0].Answer(200, "ok");
  f.peer.RunLoop();
  EXPECT_EQ(f.peer.sent(), "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
  EXPECT_TRUE(f.peer.ended());

  Fixture half;  // its head has left already
  half.peer.Send(kGet);
  half.server[0].stream->SendHead(ResponseHead(), false);
  half.connection->Drain();
  half.server[0].stream->End();
  half.peer.RunLoop();
  EXPECT_TRUE(half.peer.ended());
  EXPECT_FALSE(half.peer.was_reset());
}

TEST(Http1ServerEnd, DrainGivesAnIdleConnectionTimeForOneMoreRequest) {
  Fixture f({.drain_idle_timeout = absl::Milliseconds(30)});
  f.AnswerAll();
  f.connection->Drain();
  f.peer.Send(kGet);
  EXPECT_EQ(f.peer.sent(), "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");

  Fixture silent({.drain_idle_timeout = absl::Milliseconds(5)});
  silent.connection->Drain();
  while (!silent.peer.ended()) silent.peer.RunLoop();
  EXPECT_EQ(silent.peer.sent(), "");
}

TEST(Http1ServerEnd, AnIdleConnectionCloses) {
  Fixture f({.idle_timeout = absl::Milliseconds(20)});
  f.AnswerAll();
  f.peer.Send(kGet);
  f.peer.TakeSent();
  while (!f.peer.ended()) f.peer.RunLoop();
  EXPECT_EQ(f.peer.sent(), "") << "silently";
  EXPECT_EQ(f.server.bad, "");
}

TEST(Http1ServerEnd, ASlowHeadIsAnsweredWith408) {
  Fixture f({.head_timeout = absl::Milliseconds(20)});
  f.peer.Send("GET / HTTP/1.1\r\nHo");
  while (!f.peer.ended()) f.peer.RunLoop();
  EXPECT_EQ(f.peer.sent(),
            "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
  EXPECT_EQ(f.server.bad, "408 header fields took too long;");
}

TEST(Http1ServerEnd, TheRestOfABodyThatNobodyWantsHasATimeLimit) {
  Fixture f({.head_timeout = absl::Milliseconds(5)});
  f.AnswerAll();
  f.peer.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345");
  EXPECT_EQ(f.server[0].closed, 1);
  while (!f.peer.ended()) f.peer.RunLoop();
  EXPECT_EQ(f.server.bad, "");
}

TEST(Http1ServerEnd, APeerThatDoesNotEndIsResetInTheEnd) {
  Fixture f({.linger_timeout = absl::Milliseconds(5)});
  f.AnswerAll();
  f.peer.Send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(f.peer.ended());
  while (f.peer.open()) f.peer.RunLoop();
  EXPECT_TRUE(f.peer.was_reset());
  EXPECT_EQ(f.server.closed, 1);
}

TEST(Http1ServerEnd, ARequestInProgressHasNoTimeLimitHere) {
  Fixture f({.idle_timeout = absl::Milliseconds(5), .head_timeout = absl::Milliseconds(5)});
  f.peer.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345");
  bool passed = false;
  f.loop.After(absl::Milliseconds(30), [&] { passed = true; });
  while (!passed) f.peer.RunLoop();
  EXPECT_FALSE(f.peer.ended());
  EXPECT_EQ(f.server[0].closed, 0);
}

}  // namespace
}  // namespace mesh::http
