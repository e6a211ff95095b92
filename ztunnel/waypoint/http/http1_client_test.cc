#include "ztunnel/waypoint/http/http1_client.h"

#include <gtest/gtest.h>

#include "ztunnel/waypoint/http/test_client.h"
#include "ztunnel/waypoint/http/test_transport.h"

namespace mesh::http {
namespace {

constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

RequestHead Get(std::string_view path = "/") {
  RequestHead head;
  head.method = "GET";
  head.scheme = "http";
  head.authority = "example.com";
  head.path = path;
  return head;
}

struct Fixture {
  base::EventLoop loop;
  TestPeer peer{loop};
  TestClient client;
  std::unique_ptr<ClientConnection> connection;
  TestAnswer answer;
  explicit Fixture(Limits limits = {}) {
    connection = MakeHttp1Client(loop, peer.MakeTransport(), client, limits);
  }
  void Request(const RequestHead& head, bool end, TestAnswer& events) {
    events.stream = connection->Request(head, end, events);
  }
  void Request(const RequestHead& head, bool end = true) { Request(head, end, answer); }
};

TEST(Http1Client, AsksAndReadsTheAnswerInWhateverPieces) {
  constexpr std::string_view kAnswer =
      "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
      "HTTP/1.1 200 Fine\r\nX-A: 1\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\n"
      "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x\r\n!\r\n0\r\nX-T: t\r\n\r\n";
  for (const size_t piece : {size_t{1}, size_t{2}, size_t{5}, size_t{1000}}) {
    Fixture f;
    RequestHead head = Get("/a?b");
    head.headers.Add("x-b", "2");
    head.headers.Add("keep-alive", "5");
    head.headers.Add("host", "evil");
    head.headers.Add("te", "trailers");
    f.Request(head);
    EXPECT_EQ(f.peer.TakeSent(),
              "GET /a?b HTTP/1.1\r\nhost: example.com\r\nx-b: 2\r\nte: trailers\r\n"
              "connection: te\r\n\r\n");
    EXPECT_EQ(f.connection->Capacity(), 0u);
    EXPECT_EQ(f.connection->streams(), 1u);
    f.peer.Send(kAnswer, piece);
    EXPECT_EQ(f.answer.interims, "103 link: a;");
    EXPECT_EQ(f.answer.head.status, 200);
    EXPECT_EQ(ToText(f.answer.head.headers), "x-a: 1");
    EXPECT_EQ(f.answer.body, "hello!");
    EXPECT_EQ(ToText(f.answer.trailers), "x-t: t");
    EXPECT_TRUE(f.answer.complete());
    EXPECT_EQ(f.peer.unpaid(), 0u);
    EXPECT_EQ(f.connection->Capacity(), 1u);
    EXPECT_EQ(f.client.capacities, 1);
  }
}

TEST(Http1Client, WritesRequestsByTheirBodies) {
  struct Case {
    const char* method;
    const char* length;
    bool end;
    const char* framing;
    const char* body;  // of "abc"
  };
  constexpr Case kCases[] = {
      {"GET", nullptr, true, "", ""},
      {"GET", "0", true, "content-length: 0\r\n", ""},
      {"POST", nullptr, true, "content-length: 0\r\n", ""},
      {"DELETE", nullptr, true, "", ""},
      {"PUT", "3", false, "content-length: 3\r\n", "abc"},
      {"POST", nullptr, false, "transfer-encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"},
      {"GET", nullptr, false, "transfer-encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"},
  };
  for (const Case& c : kCases) {
    Fixture f;
    RequestHead head = Get();
    head.method = c.method;
    if (c.length != nullptr) head.headers.Add("content-length", c.length);
    f.Request(head, c.end);
    if (!c.end) {
      f.answer.stream->Write(ToBytes("abc"));
      f.answer.stream->End();
    }
    EXPECT_EQ(f.peer.sent(), std::string(c.method) + " / HTTP/1.1\r\nhost: example.com\r\n" +
                                 c.framing + "\r\n" + c.body);
    f.peer.Send(kOk);
    EXPECT_TRUE(f.answer.complete());
    EXPECT_EQ(f.connection->Capacity(), 1u);
  }
}

TEST(Http1Client, SendsTrailersBehindChunks) {
  Fixture f;
  RequestHead head = Get();
  f.Request(head, false);
  f.peer.TakeSent();
  HeaderMap trailers;
  trailers.Add("x-t", "t");
  trailers.Add("content-length", "5");
  f.answer.stream->WriteTrailers(trailers);
  EXPECT_EQ(f.peer.sent(), "0\r\nx-t: t\r\n\r\n");
}

TEST(Http1Client, TheEndOfAnAnswerIsWhereItsHeadSays) {
  struct Case {
    const char* method;
    const char* answer;
    const char* body;
    bool reusable;
  };
  constexpr Case kCases[] = {
      {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", true},
      {"GET", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "", true},
      {"GET", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "", true},
      {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "", true},
      {"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "", true},
      {"HEAD", "HTTP/1.1 200 OK\r\n\r\n", "", true},
      {"GET", "HTTP/1.1 204 No Content\r\n\r\n", "", true},
      {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 20\r\n\r\n", "", true},
      {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", "ok", false},
      {"GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", false},
      {"GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", "ok",
       true},
  };
  for (const Case& c : kCases) {
    Fixture f;
    RequestHead head = Get();
    head.method = c.method;
    f.Request(head);
    f.peer.Send(c.answer, 3);
    EXPECT_TRUE(f.answer.complete()) << c.answer;
    EXPECT_EQ(f.answer.body, c.body) << c.answer;
    EXPECT_EQ(f.connection->Capacity(), c.reusable ? 1u : 0u) << c.answer;
    EXPECT_EQ(f.peer.ended(), !c.reusable) << c.answer;
    EXPECT_EQ(f.client.capacities, 1);
  }
}

TEST(Http1Client, ABodyWithoutLengthEndsWithTheConnection) {
  for (const bool whole : {true, false}) {
    Fixture f;
    f.Request(Get());
    f.peer.Send("HTTP/1.1 200 OK\r\n\r\nhello");
    EXPECT_EQ(f.answer.body, "hello");
    EXPECT_EQ(f.answer.closed, 0);
    whole ? f.peer.End() : f.peer.Reset();
    EXPECT_EQ(f.answer.ended, whole);
    EXPECT_EQ(f.answer.error, whole ? StreamError::kNone : StreamError::kReset);
    EXPECT_EQ(f.answer.closed, 1);
    EXPECT_EQ(f.connection->Capacity(), 0u);
    EXPECT_EQ(f.client.closed, 1);
  }
}

TEST(Http1Client, AnAnswerThatEndsTooEarlyIsAReset) {
  constexpr std::string_view kAnswer =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r";
  constexpr std::string_view kLength = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok";
  for (const std::string_view answer : {kAnswer, kLength}) {
    for (size_t size = 0; size <= answer.size(); ++size) {
      Fixture f;
      f.Request(Get());
      f.peer.RunLoop();
      f.peer.Send(answer.substr(0, size));
      f.peer.End();
      EXPECT_EQ(f.answer.error, StreamError::kReset) << size;
      EXPECT_FALSE(f.answer.ended);
      EXPECT_TRUE(f.answer.sent_at_close);
      EXPECT_EQ(f.connection->Capacity(), 0u);
      EXPECT_EQ(f.client.closed, 1);
    }
  }
}

TEST(Http1Client, WhatIsNoAnswerIsAProtocolError) {
  constexpr std::string_view kBad[] = {
      "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n",
      "HTTP/2.0 200 OK\r\n\r\n",
      "HTTP/1.2 200 OK\r\n\r\n",
      "HTTP/1.1  200 OK\r\n\r\n",
      "HTTP/1.1 20 OK\r\n\r\n",
      "HTTP/1.1 2000 OK\r\n\r\n",
      "HTTP/1.1 099 OK\r\n\r\n",
      "HTTP/1.1 -20 OK\r\n\r\n",
      "HTTP/1.1 200 a\rb\r\n\r\n",
      "\r\nHTTP/1.1 200 OK\r\n\r\n",
      "ICY 200 OK\r\n\r\n",
      "<html>no http at all</html>\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 1234567890123456789\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
      "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
      "HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
      "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
      "HTTP/1.1 200 OK\r\nX: a\x01\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokk\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 2\r\n\r\n",
      // nobody asked for an upgrade
      "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
  };
  for (const std::string_view bad : kBad) {
    for (const size_t piece : {size_t{1}, size_t{1000}}) {
      Fixture f;
      f.Request(Get());
      f.peer.Send(bad, piece);
      EXPECT_EQ(f.answer.error, StreamError::kProtocol) << bad;
      EXPECT_EQ(f.answer.closed, 1) << bad;
      EXPECT_TRUE(f.peer.was_reset());
      EXPECT_EQ(f.connection->Capacity(), 0u);
      EXPECT_EQ(f.client.closed, 1);
    }
  }
}

TEST(Http1Client, HasItsLimits) {
  const auto refused = [](Limits limits, const std::string& answer) {
    Fixture f(limits);
    f.Request(Get());
    f.peer.Send(answer);
    return f.answer.error == StreamError::kProtocol;
  };
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  const std::string field = "x: " + std::string(95, 'a') + "\r\n";  // 100 bytes
  EXPECT_FALSE(refused({.head_bytes = 202}, ok + field + field + "\r\n"));
  EXPECT_TRUE(refused({.head_bytes = 201}, ok + field + field + "\r\n"));
  EXPECT_FALSE(refused({.head_fields = 2}, ok + "a: b\r\na: b\r\n\r\n"));
  EXPECT_TRUE(refused({.head_fields = 2}, ok + "a: b\r\na: b\r\na: b\r\n\r\n"));
  EXPECT_TRUE(refused({.line_bytes = 16}, ok + "\r\n"));
  const std::string chunked = ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n";
  EXPECT_TRUE(refused({.trailer_bytes = 150}, chunked + field + field + "\r\n"));
  std::string interims;
  for (int i = 0; i < 17; ++i) interims += "HTTP/1.1 102 Processing\r\n\r\n";
  EXPECT_TRUE(refused({}, interims));
}

TEST(Http1Client, BytesThatNobodyAskedForCloseTheConnection) {
  Fixture idle;
  idle.peer.Send(kOk);
  EXPECT_TRUE(idle.peer.was_reset());
  EXPECT_EQ(idle.connection->Capacity(), 0u);
  EXPECT_GE(idle.client.capacities, 1);
  EXPECT_EQ(idle.client.closed, 1);

  Fixture behind;
  behind.Request(Get());
  behind.peer.Send(std::string(kOk) + "HTTP/1.1 200 OK\r\n");
  EXPECT_TRUE(behind.answer.complete());
  EXPECT_EQ(behind.answer.body, "ok");
  EXPECT_EQ(behind.connection->Capacity(), 0u);
  EXPECT_TRUE(behind.peer.ended());
}

TEST(Http1Client, NoticesWhenAnIdleConnectionEnds) {
  Fixture f;
  EXPECT_EQ(f.connection->Capacity(), 1u);
  f.peer.End();
  EXPECT_EQ(f.connection->Capacity(), 0u);
  EXPECT_EQ(f.client.capacities, 1);
  EXPECT_EQ(f.client.closed, 1);

  Fixture limited({.idle_timeout = absl::Milliseconds(5)});
  while (!limited.peer.ended()) limited.peer.RunLoop();
  EXPECT_EQ(limited.connection->Capacity(), 0u);
  EXPECT_EQ(limited.client.capacities, 1);
}

TEST(Http1Client, NothingWasSentWhenTheConnectionEndsInTheSameTurn) {
  Fixture f;
  f.Request(Get());
  EXPECT_FALSE(f.answer.stream->Sent());
  f.peer.End();
  EXPECT_EQ(f.answer.error, StreamError::kReset);
  EXPECT_FALSE(f.answer.sent_at_close);

  Fixture later;
  later.Request(Get());
  later.peer.RunLoop();
  EXPECT_TRUE(later.answer.stream->Sent());
}

TEST(Http1Client, AnEarlyAnswerIsReadWhileTheRequestGoesOut) {
  Fixture f;
  RequestHead head = Get();
  head.method = "POST";
  f.Request(head, false);
  f.answer.stream->Write(ToBytes("abc"));
  f.peer.Send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
  EXPECT_EQ(f.answer.body, "hel");
  f.peer.TakeSent();
  f.answer.stream->Write(ToBytes("def"));
  f.answer.stream->End();
  EXPECT_EQ(f.peer.TakeSent(), "3\r\ndef\r\n0\r\n\r\n");
  f.peer.Send("lo");
  EXPECT_TRUE(f.answer.complete());
  EXPECT_EQ(f.connection->Capacity(), 1u);
}

TEST(Http1Client, AnAnswerBeforeTheWholeRequestLeavesTheConnectionUnusable) {
  Fixture f;
  RequestHead head = Get();
  head.method = "POST";
  f.Request(head, false);
  f.answer.stream->Write(ToBytes("abc"));
  f.peer.Send(kOk);
  EXPECT_TRUE(f.answer.complete());
  EXPECT_TRUE(f.answer.ended);
  EXPECT_EQ(f.connection->Capacity(), 0u);
  EXPECT_TRUE(f.peer.was_reset());
  EXPECT_EQ(f.client.closed, 1);
}

TEST(Http1Client, ARequestThatBreaksItsLengthBreaksTheConnection) {
  for (const std::string_view body : {"12", "1234"}) {
    Fixture f;
    RequestHead head = Get();
    head.headers.Add("content-length", "3");
    f.Request(head, false);
    f.answer.stream->Write(ToBytes(body));
    f.answer.stream->End();
    f.peer.RunLoop();
    EXPECT_EQ(f.answer.error, StreamError::kLocal);
    EXPECT_TRUE(f.peer.was_reset());
  }
}

TEST(Http1Client, ARequestThatCannotBeWrittenDoesNotLeave) {
  const auto refused = [](const RequestHead& head, bool end) {
    Fixture f;
    f.Request(head, end);
    f.answer.stream->Write(ToBytes("abc"));
    f.answer.stream->End();
    EXPECT_EQ(f.answer.closed, 0) << "deferred";
    f.peer.RunLoop();
    EXPECT_EQ(f.answer.error, StreamError::kProtocol);
    EXPECT_FALSE(f.answer.sent_at_close);
    EXPECT_EQ(f.peer.sent(), "");
    EXPECT_EQ(f.connection->Capacity(), 1u) << "the connection is unharmed";
  };
  RequestHead head = Get("/a b");
  refused(head, true);
  head = Get("/a\r\nx: y");
  refused(head, false);
  head = Get("");
  refused(head, true);
  head = Get();
  head.authority = "a\r\nx: y";
  refused(head, true);
  head = Get();
  head.method = "G ET";
  refused(head, true);
  head = Get();
  head.headers.Add("x", "a\r\ny: z");
  refused(head, true);
  head = Get();
  head.headers.Add("content-length", "3");
  refused(head, true);
}

TEST(Http1Client, ResetAndDetach) {
  Fixture f;
  f.Request(Get());
  f.answer.stream->Reset(StreamError::kTimeout);
  EXPECT_EQ(f.answer.closed, 0) << "deferred";
  f.peer.RunLoop();
  EXPECT_EQ(f.answer.error, StreamError::kLocal);
  EXPECT_TRUE(f.peer.was_reset());
  EXPECT_EQ(f.client.closed, 1);

  Fixture g;
  g.Request(Get());
  g.peer.Send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
  g.answer.stream->Detach();
  g.peer.Send("llo");
  EXPECT_EQ(g.answer.closed, 0);
  EXPECT_EQ(g.answer.body, "he");
  EXPECT_EQ(g.connection->Capacity(), 0u);
  EXPECT_TRUE(g.peer.was_reset());
}

TEST(Http1Client, BodyBytesArePaidForWhenConsumed) {
  Fixture f;
  f.answer.consume = false;
  f.Request(Get());
  f.peer.Send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  EXPECT_TRUE(f.answer.complete());
  EXPECT_EQ(f.peer.unpaid(), 0u);

  Fixture g;
  g.answer.consume = false;
  g.Request(Get());
  g.peer.Send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello");
  EXPECT_EQ(g.peer.unpaid(), 5u);
  g.answer.stream->Consumed(5);
  EXPECT_EQ(g.peer.unpaid(), 0u);
}

TEST(Http1Client, RoomIsTheTransports) {
  Fixture f;
  f.peer.room = 100;
  RequestHead head = Get();
  f.Request(head, false);
  EXPECT_LT(f.answer.stream->Room(), 100u);
  f.answer.stream->Write(ToBytes(std::string(200, 'x')));
  EXPECT_EQ(f.answer.stream->Room(), 0u);
  f.peer.AddRoom(70);
  EXPECT_EQ(f.answer.rooms, 1);
  EXPECT_EQ(f.answer.stream->Room(), 70u);
}

TEST(Http1Client, DrainClosesAfterTheLastAnswer) {
  Fixture f;
  f.Request(Get());
  f.connection->Drain();
  EXPECT_FALSE(f.peer.ended());
  f.peer.Send(kOk);
  EXPECT_TRUE(f.answer.complete());
  EXPECT_TRUE(f.peer.ended());
  EXPECT_EQ(f.connection->Capacity(), 0u);

  Fixture idle;
  idle.connection->Drain();
  EXPECT_TRUE(idle.peer.ended());
  EXPECT_EQ(idle.connection->Capacity(), 0u);
}

TEST(Http1Client, TheNextRequestMayBeMadeAsSoonAsTheLastIsOver) {
  Fixture f;
  TestAnswer second;
  f.answer.on_closed = [&](TestAnswer&) { f.Request(Get("/2"), true, second); };
  f.Request(Get("/1"));
  f.peer.TakeSent();
  f.peer.Send(kOk);
  EXPECT_EQ(f.peer.TakeSent(), "GET /2 HTTP/1.1\r\nhost: example.com\r\n\r\n");
  f.peer.Send(kOk);
  EXPECT_TRUE(second.complete());
  EXPECT_EQ(f.connection->Capacity(), 1u);
}

TEST(Http1Client, CanBeDestroyedAtAnyPoint) {
  constexpr std::string_view kAnswer =
      "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      "2\r\nok\r\n0\r\nA: b\r\n\r\n";
  for (size_t size = 0; size <= kAnswer.size(); ++size) {
    Fixture f;
    RequestHead head = Get();
    f.Request(head, false);
    f.answer.stream->Write(ToBytes("abc"));
    f.peer.Send(kAnswer.substr(0, size));
    f.connection = nullptr;
    f.peer.RunLoop();
    EXPECT_EQ(f.answer.closed, 1);
    EXPECT_EQ(f.client.closed, size == kAnswer.size() ? 1 : 0);
  }
}

}  // namespace
}  // namespace mesh::http
