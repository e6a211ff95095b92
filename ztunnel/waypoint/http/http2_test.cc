#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ztunnel/waypoint/http/http2_client.h"
#include "ztunnel/waypoint/http/http2_server.h"
#include "ztunnel/waypoint/http/test_client.h"
#include "ztunnel/waypoint/http/test_server.h"
#include "ztunnel/waypoint/http/test_transport.h"

namespace mesh::http {
namespace {

using testing::HasSubstr;

// A client and a server of ours, and the bytes between them.
class Http2 : public testing::Test {
 protected:
  Http2() {
    server_connection_ = MakeHttp2Server(loop_, at_server_.MakeTransport(), server_, limits_);
    client_connection_ = MakeHttp2Client(loop_, at_client_.MakeTransport(), client_, limits_);
    Pump();
  }
  void Pump() {
    RunTurns(loop_);
    for (int i = 0; i < 100; ++i) {
      const std::string to_server = at_client_.TakeSent(), to_client = at_server_.TakeSent();
      if (to_server.empty() && to_client.empty()) return;
      at_server_.Send(to_server, 4000);
      at_client_.Send(to_client, 4000);
    }
    FAIL() << "the two do not come to rest";
  }
  static RequestHead Get(const std::string& path = "/") {
    RequestHead head;
    head.method = "GET";
    head.scheme = "http";
    head.authority = "reviews:9080";
    head.path = path;
    head.headers.Add("x-one", "1");
    return head;
  }
  TestRequest& request(size_t i = 0) { return *server_.requests.at(i); }

  base::EventLoop loop_;
  Limits limits_;
  TestPeer at_server_{loop_}, at_client_{loop_};
  TestServer server_;
  TestClient client_;
  TestAnswer answer_;
  std::unique_ptr<ServerConnection> server_connection_;
  std::unique_ptr<ClientConnection> client_connection_;
};

TEST_F(Http2, CarriesARequestAndItsAnswer) {
  answer_.stream = client_connection_->Request(Get("/a?b=c"), true, answer_);
  Pump();
  ASSERT_EQ(server_.requests.size(), 1u);
  EXPECT_EQ(request().head.method, "GET");
  EXPECT_EQ(request().head.path, "/a?b=c");
  EXPECT_EQ(request().head.authority, "reviews:9080");
  EXPECT_EQ(request().head.headers.Find("x-one"), "1");
  EXPECT_TRUE(request().end_with_head);
  request().Answer(200, "hello");
  Pump();
  EXPECT_EQ(answer_.head.status, 200);
  EXPECT_EQ(answer_.body, "hello");
  EXPECT_TRUE(answer_.complete());
  EXPECT_EQ(request().closed, 1);
  EXPECT_EQ(request().error, StreamError::kNone);
  EXPECT_EQ(client_connection_->streams(), 0u);
  EXPECT_EQ(server_connection_->streams(), 0u);
}

TEST_F(Http2, CarriesBodiesAndTrailersBothWays) {
  RequestHead head = Get();
  head.method = "POST";
  answer_.stream = client_connection_->Request(head, false, answer_);
  const std::string big(1'000'000, 'q');
  answer_.stream->Write(ToBytes(big));
  HeaderMap trailers;
  trailers.Add("x-check", "sum");
  answer_.stream->WriteTrailers(trailers);
  Pump();
  EXPECT_EQ(request().body.size(), big.size());
  EXPECT_EQ(request().trailers.Find("x-check"), "sum");
  ResponseHead response;
  request().stream->SendHead(response, false);
  request().stream->Write(ToBytes(big));
  HeaderMap status;
  status.Add("grpc-status", "0");
  request().stream->WriteTrailers(status);
  Pump();
  EXPECT_EQ(answer_.body.size(), big.size());
  EXPECT_EQ(answer_.trailers.Find("grpc-status"), "0");
  EXPECT_TRUE(answer_.complete());
}

TEST_F(Http2, AnswersWithoutABodyEndWithTheirHead) {
  answer_.stream = client_connection_->Request(Get(), true, answer_);
  Pump();
  ResponseHead response;
  response.status = 204;
  request().stream->SendHead(response, true);
  Pump();
  EXPECT_TRUE(answer_.end_with_head);
  EXPECT_TRUE(answer_.complete());
}

TEST_F(Http2, TellsInterimAnswers) {
  answer_.stream = client_connection_->Request(Get(), true, answer_);
  Pump();
  ResponseHead hints;
  hints.status = 103;
  hints.headers.Add("link", "</a>");
  request().stream->SendInterim(hints);
  request().Answer(200, "");
  Pump();
  EXPECT_EQ(answer_.interims, "103 link: </a>;");
  EXPECT_TRUE(answer_.complete());
}

TEST_F(Http2, AnEarlyAnswerEndsTheExchangeForBoth) {
  RequestHead head = Get();
  head.method = "POST";
  answer_.stream = client_connection_->Request(head, false, answer_);
  Pump();
  request().Answer(403, "no");
  Pump();
  EXPECT_EQ(answer_.head.status, 403);
  EXPECT_TRUE(answer_.complete());
  EXPECT_EQ(request().error, StreamError::kNone);
  EXPECT_EQ(server_connection_->streams(), 0u);
}

TEST_F(Http2, AReaderThatTakesNothingStopsTheWriterAndNobodyElse) {
  answer_.consume = false;
  answer_.stream = client_connection_->Request(Get("/slow"), true, answer_);
  TestAnswer fast;
  fast.stream = client_connection_->Request(Get("/fast"), true, fast);
  Pump();
  ResponseHead response;
  request(0).stream->SendHead(response, false);
  const std::string piece(64 << 10, 'x');
  size_t written = 0;
  while (request(0).stream->Room() > 0) {
    request(0).stream->Write(ToBytes(piece));
    written += piece.size();
    Pump();
    ASSERT_LT(written, 4u << 20);
  }
  EXPECT_LE(answer_.body.size(), 512u << 10);  // a window
  request(1).Answer(200, "quick");
  Pump();
  EXPECT_EQ(fast.body, "quick");
  EXPECT_TRUE(fast.complete());
  // It takes what came: the rest follows, and the writer hears that there is room.
  answer_.consume = true;
  answer_.stream->Consumed(answer_.body.size());
  Pump();
  EXPECT_EQ(answer_.body.size(), written);
  EXPECT_GE(request(0).rooms, 1);
}

TEST_F(Http2, ResetsAreToldToTheOtherSide) {
  answer_.stream = client_connection_->Request(Get(), true, answer_);
  Pump();
  request().stream->Reset(StreamError::kReset);
  Pump();
  EXPECT_EQ(answer_.closed, 1);
  EXPECT_EQ(answer_.error, StreamError::kReset);
  EXPECT_EQ(request().error, StreamError::kLocal);

  TestAnswer second;
  second.stream = client_connection_->Request(Get(), true, second);
  Pump();
  second.stream->Reset(StreamError::kLocal);
  Pump();
  EXPECT_EQ(request(1).error, StreamError::kReset);
}

TEST_F(Http2, AConnectionThatBreaksEndsEveryStreamOnce) {
  answer_.stream = client_connection_->Request(Get(), true, answer_);
  Pump();
  at_client_.Reset();
  at_server_.Reset();
  RunTurns(loop_);
  EXPECT_EQ(answer_.closed, 1);
  EXPECT_EQ(answer_.error, StreamError::kReset);
  EXPECT_EQ(request().closed, 1);
  EXPECT_EQ(client_.closed, 1);
  EXPECT_EQ(client_connection_->Capacity(), 0u);
}

TEST_F(Http2, DrainingFinishesWhatIsInProgress) {
  answer_.stream = client_connection_->Request(Get(), true, answer_);
  Pump();
  server_connection_->Drain();
  Pump();
  request().Answer(200, "last");
  Pump();
  EXPECT_TRUE(answer_.complete());
  EXPECT_EQ(answer_.body, "last");
  EXPECT_FALSE(at_server_.was_reset());
}

TEST_F(Http2, AnExtendedConnectIsAnUpgrade) {
  RequestHead head = Get("/chat");
  head.upgrade = "websocket";
  answer_.stream = client_connection_->Request(head, false, answer_);
  Pump();
  ASSERT_EQ(server_.requests.size(), 1u);
  EXPECT_EQ(request().head.upgrade, "websocket");
  ResponseHead switching;
  switching.status = 101;
  request().stream->SendHead(switching, false);
  request().stream->Write(ToBytes("from server"));
  answer_.stream->Write(ToBytes("from client"));
  Pump();
  EXPECT_EQ(answer_.head.status, 200);
  EXPECT_EQ(answer_.body, "from server");
  EXPECT_EQ(request().body, "from client");
}

TEST_F(Http2, AnAuthorityThatIsNoneIsRefused) {
  RequestHead head = Get();
  head.authority = "user@reviews:9080";
  answer_.stream = client_connection_->Request(head, true, answer_);
  Pump();
  EXPECT_TRUE(server_.requests.empty());
  EXPECT_EQ(answer_.closed, 1);
}

TEST_F(Http2, AHostThatIsNotTheAuthorityIsRefused) {
  RequestHead head = Get();
  head.headers.Add("host", "other");  // not written: the codec knows one authority alone
  answer_.stream = client_connection_->Request(head, true, answer_);
  Pump();
  ASSERT_EQ(server_.requests.size(), 1u);
  EXPECT_FALSE(request().head.headers.Has("host"));
}

TEST_F(Http2, WhatIsNoHttp2EndsTheConnection) {
  base::EventLoop loop;
  TestPeer peer(loop);
  TestServer server;
  auto connection = MakeHttp2Server(loop, peer.MakeTransport(), server, {});
  peer.Send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  EXPECT_TRUE(peer.ended());
  peer.End();
  EXPECT_EQ(server.closed, 1);
  EXPECT_TRUE(server.requests.empty());
}

}  // namespace
}  // namespace mesh::http
