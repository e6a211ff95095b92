#include "ztunnel/waypoint/http/http1_server.h"

#include <gtest/gtest.h>

#include "ztunnel/waypoint/http/test_server.h"
#include "ztunnel/waypoint/http/test_transport.h"

namespace mesh::http {
namespace {

constexpr std::string_view kGet = "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n";
constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

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
  size_t count() const { return server.requests.size(); }
};

ResponseHead Head(uint16_t status) {
  ResponseHead head;
  head.status = status;
  return head;
}

TEST(Http1Server, ReadsARequestInWhateverPieces) {
  constexpr std::string_view kRequest =
      "POST /p HTTP/1.1\r\nHost: example.com:80\r\nX-A:  1 \r\nConnection: keep-alive, X-Hop\r\n"
      "X-Hop: 1\r\nTE: gzip, trailers\r\nKeep-Alive: 5\r\nTransfer-Encoding: Chunked\r\n\r\n"
      "5;a=\"b\"\r\nhello\r\n00006\r\n world\r\n0\r\nX-T: t\r\n\r\n";
  for (const size_t piece : {size_t{1}, size_t{2}, size_t{3}, size_t{7}, size_t{1000}}) {
    Fixture f;
    f.peer.Send(kRequest, piece);
    ASSERT_EQ(f.count(), 1u);
    TestRequest& request = f.server[0];
    EXPECT_EQ(request.head.method, "POST");
    EXPECT_EQ(request.head.scheme, "http");
    EXPECT_EQ(request.head.authority, "example.com:80");
    EXPECT_EQ(request.head.path, "/p");
    EXPECT_EQ(request.head.version, Version::kHttp11);
    EXPECT_EQ(ToText(request.head.headers), "x-a: 1|te: trailers");
    EXPECT_EQ(request.body, "hello world");
    EXPECT_TRUE(request.ended);
    EXPECT_EQ(ToText(request.trailers), "x-t: t");
    EXPECT_EQ(f.peer.unpaid(), 0u);
    request.Answer(200, "ok");
    f.peer.RunLoop();
    EXPECT_EQ(f.peer.TakeSent(), kOk);
    EXPECT_EQ(request.closed, 1);
    EXPECT_EQ(request.error, StreamError::kNone);
    EXPECT_EQ(f.connection->streams(), 0u);
  }
}

TEST(Http1Server, KeepsTheConnectionForTheNextRequest) {
  Fixture f;
  f.AnswerAll();
  for (int i = 0; i < 3; ++i) {
    f.peer.Send(kGet);
    EXPECT_EQ(f.peer.TakeSent(), kOk);
  }
  EXPECT_EQ(f.count(), 3u);
  EXPECT_EQ(f.server[2].head.path, "/a?b");
  EXPECT_TRUE(f.server[2].end_with_head);
  EXPECT_FALSE(f.peer.ended());
}

TEST(Http1Server, AnswersPipelinedRequestsInOrderAndHoldsTheRest) {
  Fixture f;
  std::string three;
  for (int i = 0; i < 3; ++i) {
    three += "POST /" + std::to_string(i) + " HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
  }
  f.peer.Send(three);
  for (size_t i = 0; i < 3; ++i) {
    ASSERT_EQ(f.count(), i + 1) << "one at a time";
    EXPECT_EQ(f.server[i].head.path, "/" + std::to_string(i));
    EXPECT_EQ(f.server[i].body, "abc");
    EXPECT_EQ(f.peer.unpaid(), three.size() / 3 * (2 - i)) << "what waits is not paid for";
    f.server[i].Answer(200, "ok");
    f.peer.RunLoop();
    EXPECT_EQ(f.peer.TakeSent(), kOk);
  }
}

TEST(Http1Server, ThousandsOfPipelinedRequestsAreAnswered) {
  Fixture f;
  f.AnswerAll();
  std::string many;
  for (int i = 0; i < 5000; ++i) many += kGet;
  f.peer.Send(many);
  EXPECT_EQ(f.count(), 5000u);
  EXPECT_EQ(f.peer.sent().size(), 5000 * kOk.size());
}

TEST(Http1Server, OneEmptyLineBeforeARequestIsLetPass) {
  Fixture f;
  f.AnswerAll();
  f.peer.Send("\r\n" + std::string(kGet) + "\r\n" + std::string(kGet));
  EXPECT_EQ(f.count(), 2u);
  f.peer.Send("\r\n\r\n" + std::string(kGet));
  EXPECT_EQ(f.count(), 2u);
  EXPECT_EQ(f.server.bad, "400 empty line before a head;");
}

TEST(Http1Server, BodyBytesArePaidForWhenConsumed) {
  Fixture f;
  f.server.on_request = [](TestRequest& request) { request.consume = false; };
  f.peer.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345");
  EXPECT_EQ(f.peer.unpaid(), 5u);
  f.server[0].stream->Consumed(2);
  EXPECT_EQ(f.peer.unpaid(), 3u);
  f.server[0].stream->Consumed(100);  // no more than came
  EXPECT_EQ(f.peer.unpaid(), 0u);
  f.peer.Send("67890");
  EXPECT_TRUE(f.server[0].ended);
  EXPECT_EQ(f.peer.unpaid(), 5u);
  f.server[0].Answer(200, "ok");
  f.peer.RunLoop();
  EXPECT_EQ(f.peer.unpaid(), 0u) << "what a handler leaves is paid for at its end";
  f.AnswerAll();
  f.peer.Send(kGet);
  EXPECT_EQ(f.count(), 2u);
}

TEST(Http1Server, SendsInChunksWhenThereIsNoLength) {
  Fixture f;
  f.peer.Send(kGet);
  ServerStream& stream = *f.server[0].stream;
  ResponseHead head = Head(200);
  head.headers.Add("x-a", "1");
  head.headers.Add("transfer-encoding", "gzip");  // a rule of the configuration, say
  head.headers.Add("connection", "close");
  stream.SendHead(head, false);
  stream.Write(ToBytes("hello"));
  stream.Write({});
  stream.Write(ToBytes(std::string(300, 'x')));
  HeaderMap trailers;
  trailers.Add("x-t", "t");
  stream.WriteTrailers(trailers);
  f.peer.RunLoop();
  EXPECT_EQ(f.peer.TakeSent(),
            "HTTP/1.1 200 OK\r\nx-a: 1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n12c\r\n" +
                std::string(300, 'x') + "\r\n0\r\nx-t: t\r\n\r\n");
  f.peer.Send(kGet);
  f.server[1].stream->SendHead(Head(200), false);
  f.server[1].stream->End();
  EXPECT_EQ(f.peer.TakeSent(), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
}

TEST(Http1Server, AnswersWithoutABody) {
  struct Case {
    const char* method;
    uint16_t status;
    const char* length;
    bool end;
    const char* sent;
  };
  constexpr Case kCases[] = {
      {"HEAD", 200, "5", true, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"},
      {"HEAD", 200, "5", false, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"},
      {"HEAD", 200, nullptr, false, "HTTP/1.1 200 OK\r\n\r\n"},
      {"GET", 204, nullptr, true, "HTTP/1.1 204 No Content\r\n\r\n"},
      {"GET", 204, "0", false, "HTTP/1.1 204 No Content\r\n\r\n"},
      {"GET", 304, "5", true, "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"},
      {"GET", 200, nullptr, true, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"},
      {"GET", 299, "0", true, "HTTP/1.1 299 \r\ncontent-length: 0\r\n\r\n"},
  };
  Fixture f;
  size_t n = 0;
  for (const Case& c : kCases) {
    f.peer.Send(std::string(c.method) + " / HTTP/1.1\r\nHost: x\r\n\r\n");
    ASSERT_EQ(f.count(), ++n);
    ServerStream& stream = *f.server[n - 1].stream;
    ResponseHead head = Head(c.status);
    if (c.length != nullptr) head.headers.Add("content-length", c.length);
    stream.SendHead(head, c.end);
    if (!c.end) {
      stream.Write(ToBytes("hello"));  // nobody may see it
      stream.End();
    }
    f.peer.RunLoop();
    EXPECT_EQ(f.peer.TakeSent(), c.sent);
    EXPECT_EQ(f.server[n - 1].error, StreamError::kNone);
  }
}

TEST(Http1Server, AnAnswerThatBreaksItsLengthBreaksTheConnection) {
  for (const std::string_view body : {"12", "1234"}) {
    Fixture f;
    f.peer.Send(kGet);
    ResponseHead head = Head(200);
    head.headers.Add("content-length", "3");
    f.server[0].stream->SendHead(head, false);
    f.server[0].stream->Write(ToBytes(body));
    f.server[0].stream->End();
    f.peer.RunLoop();
    EXPECT_TRUE(f.peer.was_reset());
    EXPECT_EQ(f.server[0].error, StreamError::kLocal);
    EXPECT_EQ(f.server.closed, 1);
  }
  Fixture f;
  f.peer.Send(kGet);
  ResponseHead head = Head(200);
  head.headers.Add("content-length", "3");
  f.server[0].stream->SendHead(head, true);
  f.peer.RunLoop();
  EXPECT_TRUE(f.peer.was_reset());
  EXPECT_EQ(f.peer.sent(), "");
}

TEST(Http1Server, AValueThatWouldSplitTheAnswerNeverLeaves) {
  for (const std::string_view value : {"a\r\nx: y", "a\nb", " a"}) {
    Fixture f;
    f.peer.Send(kGet);
    ResponseHead head = Head(200);
    head.headers.Add("x-a", value);
    f.server[0].stream->SendHead(head, true);
    f.peer.RunLoop();
    EXPECT_EQ(f.peer.sent(), "");
    EXPECT_EQ(f.server[0].error, StreamError::kLocal);
  }
}

TEST(Http1Server, OldClientsGetTheBodyUntilTheConnectionCloses) {
  Fixture f;
  f.peer.Send("GET / HTTP/1.0\r\n\r\n");
  ASSERT_EQ(f.count(), 1u);
  EXPECT_EQ(f.server[0].head.authority, "");
  EXPECT_EQ(f.server[0].head.version, Version::kHttp10);
  f.server[0].stream->SendInterim(Head(103));  // means nothing to it
  f.server[0].stream->SendHead(Head(200), false);
  f.server[0].stream->Write(ToBytes("hello"));
  f.server[0].stream->End();
  f.peer.RunLoop();
  EXPECT_EQ(f.peer.sent(), "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello");
  EXPECT_TRUE(f.peer.ended());
  f.peer.End();
  EXPECT_EQ(f.server.closed, 1);
}

TEST(Http1Server, OldClientsKeepTheConnectionWhenTheyAsk) {
  Fixture f;
  f.AnswerAll();
  f.peer.Send("GET / HTTP/1.0\r\nHost: x\r\nConnection: Keep-Alive\r\n\r\n");
  EXPECT_EQ(f.peer.TakeSent(),
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nok");
  f.peer.Send("GET / HTTP/1.0\r\nHost: x\r\n\r\n");
  EXPECT_EQ(f.peer.TakeSent(),
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
  EXPECT_TRUE(f.peer.ended());
}

TEST(Http1Server, ClosesWhenAskedTo) {
  Fixture f;
  f.AnswerAll();
  f.peer.Send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + std::string(kGet));
  EXPECT_EQ(f.count(), 1u) << "what follows is thrown away";
  EXPECT_EQ(f.peer.sent(), "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
  EXPECT_TRUE(f.peer.ended());
  f.peer.Send("more");
  EXPECT_EQ(f.peer.unpaid(), 0u);
  EXPECT_EQ(f.server.closed, 0);
  f.peer.End();
  EXPECT_EQ(f.server.closed, 1);
}

TEST(Http1Server, PassesExpectOnAndContinuesWhenTold) {
  Fixture f;
  f.peer.Send("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  ASSERT_EQ(f.count(), 1u);
  EXPECT_EQ(f.server[0].head.headers.Find("expect"), "100-continue");
  EXPECT_EQ(f.peer.sent(), "");
  f.server[0].stream->SendInterim(Head(100));
  EXPECT_EQ(f.peer.TakeSent(), "HTTP/1.1 100 Continue\r\n\r\n");
  f.peer.Send("ab");
  f.server[0].Answer(200, "ok");
  f.peer.RunLoop();
  EXPECT_EQ(f.peer.TakeSent(), kOk);
  EXPECT_FALSE(f.peer.ended());
}

TEST(Http1Server, AnAnswerInsteadOfContinueClosesTheConnection) {
  Fixture f;
  f.server.on_request = [](TestRequest& request) { request.Answer(403, ""); };
  f.peer.Send("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 28\r\n\r\n");
  EXPECT_EQ(f.peer.sent(),
            "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
  EXPECT_TRUE(f.peer.ended());
  f.peer.Send(kGet);  // a client that does not send the body now
  EXPECT_EQ(f.count(), 1u);
}

TEST(Http1Server, ASmallRestOfABodyIsThrownAwayToKeepTheConnection) {
  Fixture f;
  f.server.on_request = [](TestRequest& request) { request.Answer(403, ""); };
  f.peer.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345");
  EXPECT_EQ(f.server[0].closed, 1);
  EXPECT_EQ(f.server[0].error, StreamError::kNone);
  EXPECT_FALSE(f.server[0].ended);
  f.peer.Send("67890" + std::string(kGet));
  ASSERT_EQ(f.count(), 2u);
  f.peer.Send(
      "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n");
  f.peer.Send(kGet);
  EXPECT_EQ(f.count(), 4u);
  EXPECT_FALSE(f.peer.ended());
}

TEST(Http1Server, ALargeRestOfABodyClosesTheConnection) {
  for (const bool chunked : {false, true}) {
    Fixture f;
    f.server.on_request = [](TestRequest& request) { request.Answer(403, ""); };
    f.peer.Send("POST / HTTP/1.1\r\nHost: x\r\n" +
                std::string(chunked ? "Transfer-Encoding: chunked" : "Content-Length: 100000") +
                "\r\n\r\n");
    EXPECT_EQ(f.server[0].error, StreamError::kNone);
    if (chunked) f.peer.Send("10000\r\n" + std::string(65536, 'x') + "\r\n1\r\nx\r\n");
    EXPECT_TRUE(f.peer.ended());
    f.peer.Send(std::string(1000, 'x'));
    EXPECT_EQ(f.peer.unpaid(), 0u);
    EXPECT_FALSE(f.peer.was_reset());
    for (int i = 0; i < 40 && f.peer.open(); ++i) f.peer.Send(std::string(60'000, 'x'));
    EXPECT_TRUE(f.peer.was_reset()) << "it has an end";
    EXPECT_EQ(f.server.closed, 1);
    EXPECT_EQ(f.count(), 1u);
  }
}

TEST(Http1Server, ABodyCutOffEndsTheRequest) {
  Fixture f;
  f.peer.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345");
  f.peer.End();
  EXPECT_EQ(f.server[0].error, StreamError::kReset);
  EXPECT_FALSE(f.server[0].ended);
  EXPECT_TRUE(f.peer.was_reset());
  EXPECT_EQ(f.server.closed, 1);
}

TEST(Http1Server, AClientThatOnlyEndedItsSideGetsItsAnswers) {
  Fixture f;
  f.peer.Send(std::string(kGet) + std::string(kGet));
  f.peer.End();
  ASSERT_EQ(f.count(), 1u);
  f.server[0].Answer(200, "ok");
  f.peer.RunLoop();
  ASSERT_EQ(f.count(), 2u);
  f.server[1].Answer(200, "ok");
  f.peer.RunLoop();
  EXPECT_EQ(f.peer.sent(), std::string(kOk) + std::string(kOk));
  EXPECT_TRUE(f.peer.ended());
  EXPECT_EQ(f.server.closed, 1);
}

TEST(Http1Server, AConnectionThatFailsEndsTheRequest) {
  Fixture f;
  f.peer.Send(kGet);
  f.peer.Reset();
  EXPECT_EQ(f.server[0].error, StreamError::kReset);
  EXPECT_EQ(f.server.closed, 1);
  Fixture idle;
  idle.peer.End();
  EXPECT_TRUE(idle.peer.ended());
  EXPECT_EQ(idle.server.closed, 1);
  EXPECT_EQ(idle.server.bad, "");
}

TEST(Http1Server, ResetBreaksTheConnectionOff) {
  Fixture f;
  f.peer.Send(kGet);
  f.server[0].stream->SendHead(Head(200), false);
  f.server[0].stream->Reset(StreamError::kOverload);
  EXPECT_EQ(f.server[0].closed, 0) << "deferred";
  f.peer.RunLoop();
  EXPECT_EQ(f.server[0].error, StreamError::kLocal);
  EXPECT_TRUE(f.peer.was_reset());
  EXPECT_EQ(f.server.closed, 1);
}

TEST(Http1Server, ADetachedHandlerHearsNothingMore) {
  Fixture f;
  f.peer.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345");
  f.server[0].stream->Detach();
  f.peer.RunLoop();
  EXPECT_EQ(f.server[0].closed, 0);
  EXPECT_TRUE(f.peer.was_reset()) << "nobody is left to answer";

  Fixture g;
  g.peer.Send(kGet);
  g.server[0].Answer(200, "ok");
  g.server[0].stream->Detach();
  g.peer.RunLoop();
  EXPECT_EQ(g.server[0].closed, 0);
  g.peer.Send(kGet);
  EXPECT_EQ(g.count(), 2u) << "it had been answered";
}

TEST(Http1Server, RoomIsTheTransports) {
  Fixture f;
  f.peer.room = 100;
  f.peer.Send(kGet);
  f.server[0].stream->SendHead(Head(200), false);
  const size_t left = f.server[0].stream->Room();
  EXPECT_LT(left, 100u);
  f.server[0].stream->Write(ToBytes(std::string(200, 'x')));  // taken as a whole
  EXPECT_EQ(f.server[0].stream->Room(), 0u);
  EXPECT_EQ(f.server[0].rooms, 0);
  f.peer.AddRoom(50);
  EXPECT_EQ(f.server[0].rooms, 1);
  EXPECT_EQ(f.server[0].stream->Room(), 50u);
}

TEST(Http1Server, CanBeDestroyedAtAnyPoint) {
  constexpr std::string_view kRequest =
      "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: "
      "b\r\n\r\n"
      "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: foo\r\nConnection: upgrade\r\n\r\nraw";
  for (size_t size = 0; size <= kRequest.size(); ++size) {
    Fixture f;
    f.server.on_request = [](TestRequest& request) {
      if (request.head.upgrade.empty()) return request.Answer(200, "ok");
      request.stream->SendHead(Head(101), false);
    };
    f.peer.Send(kRequest.substr(0, size));
    f.connection = nullptr;
    f.peer.RunLoop();
    for (auto& request : f.server.requests) EXPECT_EQ(request->closed, 1);
    EXPECT_EQ(f.server.closed, 0);
  }
}

}  // namespace
}  // namespace mesh::http
