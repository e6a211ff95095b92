// Upgrades at the side that asks.
#include <gtest/gtest.h>

#include "ztunnel/waypoint/http/http1_client.h"
#include "ztunnel/waypoint/http/test_client.h"
#include "ztunnel/waypoint/http/test_transport.h"
#include "ztunnel/waypoint/http/web_socket.h"

namespace mesh::http {
namespace {

struct Fixture {
  base::EventLoop loop;
  TestPeer peer{loop};
  TestClient client;
  std::unique_ptr<ClientConnection> connection =
      MakeHttp1Client(loop, peer.MakeTransport(), client, {});
  TestAnswer answer;
  void Request(const RequestHead& head, bool end) {
    answer.stream = connection->Request(head, end, answer);
  }
};

RequestHead WebSocket() {
  RequestHead head;
  head.method = "GET";
  head.authority = "example.com";
  head.path = "/chat";
  head.upgrade = "websocket";
  head.headers.Add("sec-websocket-version", "13");
  return head;
}

TEST(Http1ClientUpgrade, AnUpgradeMakesTheConnectionTwoBodies) {
  Fixture f;
  RequestHead head = WebSocket();
  head.headers.Add("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
  f.Request(head, false);
  EXPECT_EQ(f.peer.TakeSent(),
            "GET /chat HTTP/1.1\r\nhost: example.com\r\nsec-websocket-version: 13\r\n"
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nconnection: upgrade\r\n"
            "upgrade: websocket\r\n\r\n");
  EXPECT_EQ(f.answer.stream->Room(), 0u) << "not before the answer";
  f.answer.stream->Write(ToBytes("early"));
  EXPECT_EQ(f.peer.sent(), "");
  f.peer.Send(
      "HTTP/1.1 101 Switching\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Accept: x\r\n\r\nraw");
  EXPECT_EQ(f.answer.head.status, 101);
  EXPECT_EQ(ToText(f.answer.head.headers), "sec-websocket-accept: x");
  EXPECT_FALSE(f.answer.end_with_head);
  EXPECT_EQ(f.answer.body, "raw");
  EXPECT_EQ(f.peer.TakeSent(), "early");
  EXPECT_EQ(f.answer.rooms, 1);
  f.answer.stream->Write(ToBytes("up"));
  f.answer.stream->End();
  EXPECT_EQ(f.peer.TakeSent(), "up");
  EXPECT_TRUE(f.peer.ended());
  f.peer.Send("down");
  EXPECT_EQ(f.answer.body, "rawdown");
  EXPECT_EQ(f.answer.closed, 0);
  f.peer.End();
  EXPECT_TRUE(f.answer.complete());
  EXPECT_EQ(f.client.closed, 1);
}

TEST(Http1ClientUpgrade, AnExtendedConnectBecomesAnUpgradeWithAKeyOfOurs) {
  for (const bool right : {true, false}) {
    Fixture f;
    RequestHead head = WebSocket();
    head.method = "CONNECT";
    f.Request(head, false);
    const std::string sent = f.peer.TakeSent();
    EXPECT_EQ(sent.substr(0, 23), "GET /chat HTTP/1.1\r\nhos");
    constexpr std::string_view kKey = "sec-websocket-key: ";
    const size_t key = sent.find(kKey);
    ASSERT_NE(key, std::string::npos);
    EXPECT_EQ(sent.size() - key - kKey.size(), 24 + 4u);
    const std::string accept =
        WebSocketAccept(right ? sent.substr(key + kKey.size(), 24) : "another");
    f.peer.Send(
        "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: " +
        accept + "\r\n\r\n");
    EXPECT_EQ(f.answer.heads, right ? 1 : 0);
    EXPECT_TRUE(f.answer.head.headers.empty());
    EXPECT_EQ(f.answer.error, right ? StreamError::kNone : StreamError::kProtocol);
  }
}

TEST(Http1ClientUpgrade, AnUpgradeToSomethingElseIsAProtocolError) {
  for (const std::string_view fields :
       {"Upgrade: other\r\nConnection: upgrade\r\n", "Upgrade: websocket\r\n",
        "Connection: upgrade\r\n", "Upgrade: websocket, other\r\n"}) {
    Fixture f;
    RequestHead head = WebSocket();
    head.headers.Add("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    f.Request(head, false);
    f.peer.Send("HTTP/1.1 101 Switching\r\n" + std::string(fields) + "\r\n");
    EXPECT_EQ(f.answer.error, StreamError::kProtocol) << fields;
    EXPECT_EQ(f.answer.heads, 0);
  }
}

TEST(Http1ClientUpgrade, ADeclinedUpgradeIsAnOrdinaryAnswer) {
  Fixture f;
  f.Request(WebSocket(), false);
  f.answer.stream->Write(ToBytes("early"));
  f.peer.TakeSent();
  f.peer.Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  EXPECT_TRUE(f.answer.complete());
  EXPECT_EQ(f.peer.sent(), "");
  EXPECT_EQ(f.connection->Capacity(), 1u);
}

}  // namespace
}  // namespace mesh::http
