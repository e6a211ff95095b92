// Upgrades at the side that is asked.
#include <gtest/gtest.h>

#include "ztunnel/waypoint/http/http1_server.h"
#include "ztunnel/waypoint/http/test_server.h"
#include "ztunnel/waypoint/http/test_transport.h"

namespace mesh::http {
namespace {

constexpr std::string_view kUpgrade =
    "GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

struct Fixture {
  base::EventLoop loop;
  TestPeer peer{loop};
  TestServer server;
  std::unique_ptr<ServerConnection> connection =
      MakeHttp1Server(loop, peer.MakeTransport(), server, {});
};

ResponseHead Head(uint16_t status) {
  ResponseHead head;
  head.status = status;
  return head;
}

TEST(Http1Upgrade, MakesTheConnectionTwoBodies) {
  Fixture f;
  f.peer.Send(std::string(kUpgrade) + "early");
  ASSERT_EQ(f.server.requests.size(), 1u);
  TestRequest& request = f.server[0];
  EXPECT_EQ(request.head.upgrade, "websocket");
  EXPECT_EQ(request.head.method, "GET");
  EXPECT_FALSE(request.end_with_head);
  EXPECT_FALSE(request.head.headers.Has("upgrade"));
  EXPECT_FALSE(request.head.headers.Has("connection"));
  EXPECT_EQ(request.body, "") << "not before the answer";
  EXPECT_EQ(f.peer.unpaid(), 5u);

  ResponseHead head = Head(101);
  head.headers.Add("sec-websocket-accept", "abc");
  request.stream->SendHead(head, false);
  f.peer.RunLoop();
  EXPECT_EQ(f.peer.TakeSent(),
            "HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: abc\r\n"
            "connection: upgrade\r\nupgrade: websocket\r\n\r\n");
  EXPECT_EQ(request.body, "early");
  f.peer.Send("GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(request.body, "earlyGET / HTTP/1.1\r\n\r\n");
  request.stream->Write(ToBytes("down"));
  EXPECT_EQ(f.peer.TakeSent(), "down");
  EXPECT_EQ(f.peer.unpaid(), 0u);

  f.peer.End();
  EXPECT_TRUE(request.ended);
  EXPECT_EQ(request.closed, 0) << "the other half lives on";
  request.stream->Write(ToBytes("more"));
  request.stream->End();
  f.peer.RunLoop();
  EXPECT_EQ(f.peer.TakeSent(), "more");
  EXPECT_TRUE(f.peer.ended());
  EXPECT_EQ(request.error, StreamError::kNone);
  EXPECT_EQ(request.closed, 1);
  EXPECT_EQ(f.server.closed, 1);
}

TEST(Http1Upgrade, TheServersSideMayEndFirst) {
  Fixture f;
  f.peer.Send(kUpgrade);
  f.server[0].stream->SendHead(Head(101), false);
  f.server[0].stream->End();
  f.peer.RunLoop();
  EXPECT_TRUE(f.peer.ended());
  EXPECT_EQ(f.server[0].closed, 0);
  f.peer.Send("still");
  EXPECT_EQ(f.server[0].body, "still");
  f.peer.End();
  EXPECT_EQ(f.server[0].closed, 1);
  EXPECT_EQ(f.server[0].error, StreamError::kNone);
}

TEST(Http1Upgrade, AnUpstreamOfHttp2AcceptsWith200) {
  Fixture f;
  f.peer.Send(kUpgrade);
  ResponseHead head = Head(200);
  head.version = Version::kHttp2;
  f.server[0].stream->SendHead(head, false);
  // The example of RFC 6455, 1.3.
  EXPECT_EQ(f.peer.TakeSent(),
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
            "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
}

TEST(Http1Upgrade, DeclinedTheConnectionGoesOnAsItWas) {
  Fixture f;
  f.peer.Send(std::string(kUpgrade) + "GET /next HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_EQ(f.server.requests.size(), 1u);
  f.server[0].Answer(403, "no");
  f.peer.RunLoop();
  EXPECT_EQ(f.peer.TakeSent(), "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
  EXPECT_TRUE(f.server[0].ended);
  EXPECT_EQ(f.server[0].error, StreamError::kNone);
  ASSERT_EQ(f.server.requests.size(), 2u);
  EXPECT_EQ(f.server[1].head.path, "/next");
}

TEST(Http1Upgrade, IsNotSeenWhereItMeansNothing) {
  constexpr std::string_view kNone[] = {
      // not named by Connection
      "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n",
      // with a body; the answer could come in the middle of it
      "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
      "Content-Length: 1\r\n\r\nx",
      "GET / HTTP/1.0\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
      "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
  };
  for (const std::string_view request : kNone) {
    Fixture f;
    f.peer.Send(request);
    ASSERT_EQ(f.server.requests.size(), 1u) << request;
    EXPECT_EQ(f.server[0].head.upgrade, "");
    EXPECT_TRUE(f.server[0].end_with_head || f.server[0].ended) << request;
    EXPECT_EQ(ToText(f.server[0].head.headers),
              f.server[0].end_with_head ? "" : "content-length: 1");
    f.server[0].stream->SendHead(Head(101), false);  // nobody asked for it
    f.peer.RunLoop();
    EXPECT_EQ(f.server[0].error, StreamError::kLocal);
    EXPECT_EQ(f.peer.sent(), "");
  }
}

}  // namespace
}  // namespace mesh::http
