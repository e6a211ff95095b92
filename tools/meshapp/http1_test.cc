#include "tools/meshapp/http1.h"

#include <gtest/gtest.h>

namespace mesh::meshapp {
namespace {

TEST(Http1, RequestHeadWaitsUntilItIsComplete) {
  Http1Head head;
  const std::string text = "GET /a?b=1 HTTP/1.1\r\nHost: x\r\nX-Request-Id:  7 \r\n\r\nrest";
  for (size_t n = 0; n < text.size() - 4; ++n) {
    const auto got = ParseRequestHead(text.substr(0, n), head);
    ASSERT_TRUE(got.ok());
    EXPECT_FALSE(*got) << n;
  }
  const auto got = ParseRequestHead(text, head);
  ASSERT_TRUE(got.ok() && *got);
  EXPECT_EQ(**got, text.size() - 4);
  EXPECT_EQ(head.method, "GET");
  EXPECT_EQ(head.target, "/a?b=1");
  EXPECT_EQ(Find(head.headers, "x-request-id"), "7");
  EXPECT_TRUE(head.KeepAlive());
}

TEST(Http1, RefusesMalformedHeads) {
  Http1Head head;
  for (const char* bad : {"GET\r\n\r\n", "GET / HTTP/2.0\r\n\r\n", " / HTTP/1.1\r\n\r\n",
                          "GET / HTTP/1.1\r\nno colon\r\n\r\n", "GET / HTTP/1.1\r\n: empty\r\n\r\n",
                          "GET / HTTP/1.1\r\na b: c\r\n\r\n",
                          "GET / HTTP/1.1\r\n folded: x\r\n\r\n", "GET /a b HTTP/1.1\r\n\r\n"}) {
    EXPECT_FALSE(ParseRequestHead(bad, head).ok()) << bad;
  }
  EXPECT_FALSE(ParseRequestHead(std::string(kMaxHead + 1, 'a'), head).ok());
  for (const char* bad : {"HTTP/1.1 99 x\r\n\r\n", "HTTP/1.1\r\n\r\n", "FTP/1.1 200 OK\r\n\r\n",
                          "HTTP/1.1 2x0 OK\r\n\r\n"}) {
    EXPECT_FALSE(ParseResponseHead(bad, head).ok()) << bad;
  }
}

TEST(Http1, RefusesAmbiguousFraming) {
  Http1Head head;
  for (const char* bad :
       {"content-length: 1\r\ntransfer-encoding: chunked", "content-length: 1\r\ncontent-length: 2",
        "content-length: -1", "content-length: 1x", "transfer-encoding: gzip"}) {
    ASSERT_TRUE(ParseRequestHead(std::string("POST / HTTP/1.1\r\n") + bad + "\r\n\r\n", head).ok())
        << bad;
    EXPECT_FALSE(Http1Body::OfRequest(head).ok()) << bad;
  }
}

TEST(Http1, ChunkedBodyInPiecesOfEverySize) {
  Http1Head head;
  ASSERT_TRUE(
      ParseResponseHead("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", head).ok());
  const std::string wire = "5;x=1\r\nhello\r\n6\r\n world\r\n0\r\ntrailer: 1\r\n\r\nnext";
  for (size_t piece = 1; piece <= wire.size(); ++piece) {
    absl::StatusOr<Http1Body> body = Http1Body::OfResponse(head, false);
    ASSERT_TRUE(body.ok());
    std::string content, in;
    for (size_t at = 0; at < wire.size() && !body->done(); at += piece) {
      in += wire.substr(at, piece);
      const auto used = body->Feed(in, &content);
      ASSERT_TRUE(used.ok()) << used.status();
      in.erase(0, *used);
    }
    EXPECT_TRUE(body->done()) << piece;
    EXPECT_EQ(content, "hello world") << piece;
  }
}

TEST(Http1, AnswerWithoutFramingLastsUntilTheEnd) {
  Http1Head head;
  ASSERT_TRUE(ParseResponseHead("HTTP/1.0 200 OK\r\n\r\n", head).ok());
  absl::StatusOr<Http1Body> body = Http1Body::OfResponse(head, false);
  ASSERT_TRUE(body.ok());
  EXPECT_TRUE(body->until_close());
  EXPECT_TRUE(Http1Body::OfResponse(head, true)->done());  // to HEAD
}

}  // namespace
}  // namespace mesh::meshapp
