// What an HTTP/1 request may not say, and what happens then. docs/adr names the reasons; here is
// each input. All are sent whole and byte by byte.
#include <gtest/gtest.h>

#include "ztunnel/waypoint/http/http1_server.h"
#include "ztunnel/waypoint/http/test_server.h"
#include "ztunnel/waypoint/http/test_transport.h"

namespace mesh::http {
namespace {

using namespace std::string_view_literals;

// How many requests reach the handler, all answered at once, and what is said to the rest.
struct Outcome {
  size_t requests = 0;
  uint16_t refused = 0;  // status of the codec's own answer; 0: none
  bool closed = false;
  std::string paths;
  std::string authority;
  std::string error;  // of the last handler
};

Outcome Play(std::string_view input, size_t piece, Limits limits) {
  base::EventLoop loop;
  TestPeer peer(loop);
  TestServer server;
  auto connection = MakeHttp1Server(loop, peer.MakeTransport(), server, limits);
  server.on_request = [](TestRequest& request) {
    if (request.end_with_head) return request.Answer(200, "");
    request.on_end = [](TestRequest& self) { self.Answer(200, ""); };
  };
  peer.Send(input, piece);
  Outcome outcome;
  outcome.requests = server.requests.size();
  for (const auto& request : server.requests) {
    outcome.paths += request->head.path + " ";
    outcome.authority = request->head.authority;
    outcome.error += request->error == StreamError::kProtocol ? "protocol " : "";
  }
  const size_t last = peer.sent().rfind("HTTP/1.1 ");
  if (last != std::string::npos) {
    const auto status = static_cast<uint16_t>(std::stoi(peer.sent().substr(last + 9, 3)));
    if (status != 200) outcome.refused = status;
  }
  outcome.closed = peer.ended() || peer.was_reset();
  if (!server.bad.empty()) {
    EXPECT_EQ(server.bad.substr(0, 3), std::to_string(outcome.refused));
  }
  return outcome;
}

struct Case {
  const char* what;
  std::string_view input;
  uint16_t refused;
  size_t requests = 0;  // that were handed over before
};

// Behind each stands a second request, which must not be taken for one when the first was wrong.
constexpr std::string_view kSecond = "GET /second HTTP/1.1\r\nHost: x\r\n\r\n";

constexpr Case kRefused[] = {
    // ---- request line
    {"bare LF ends the line", "GET / HTTP/1.1\nHost: x\r\n\r\n", 400},
    {"all lines end in LF", "GET / HTTP/1.1\nHost: x\n\n", 400},
    {"bare CR in the line", "GET /\rX HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"CR CR LF", "GET / HTTP/1.1\r\r\nHost: x\r\n\r\n", 400},
    {"two spaces", "GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"two spaces before the version", "GET /  HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"space behind the version", "GET / HTTP/1.1 \r\nHost: x\r\n\r\n", 400},
    {"space at the start", " GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"tab for a space", "GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"space in the target", "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"no target", "GET HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"no version (HTTP/0.9)", "GET /\r\n\r\n", 400},
    {"NUL in the method", "G\0T / HTTP/1.1\r\nHost: x\r\n\r\n"sv, 400},
    {"NUL in the target", "GET /a\0b HTTP/1.1\r\nHost: x\r\n\r\n"sv, 400},
    {"no token as method", "G@T / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"method with a colon", "GET: / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"byte over 127 in the target", "GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"fragment", "GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"relative target", "GET a HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"* of GET", "GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"https in clear text", "GET https://x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"another scheme", "GET file:///etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"empty authority", "GET http:///a HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"user in the authority", "GET http://a@x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"backslash in the authority", "GET http://x\\y/ HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"authority form", "GET x:80 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"CONNECT", "CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", 501},
    {"CONNECT with a path", "CONNECT / HTTP/1.1\r\nHost: x\r\n\r\n", 501},
    {"HTTP/2.0", "GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505},
    {"HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
    {"HTTP/1.2", "GET / HTTP/1.2\r\nHost: x\r\n\r\n", 505},
    {"HTTP/1.10", "GET / HTTP/1.10\r\nHost: x\r\n\r\n", 400},
    {"HTTP/01.1", "GET / HTTP/01.1\r\nHost: x\r\n\r\n", 400},
    {"HTTP/1,1", "GET / HTTP/1,1\r\nHost: x\r\n\r\n", 400},
    {"lower-case http", "GET / http/1.1\r\nHost: x\r\n\r\n", 400},
    {"TLS to a port without", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\n"sv, 400},
    // ---- fields
    {"folded line", "GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n", 400},
    {"folded line with tab", "GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n\tb\r\n\r\n", 400},
    {"first field folded", "GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400},
    {"folded Transfer-Encoding",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400},
    {"space before the colon", "GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400},
    {"space before the colon of a length",
     "POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nhello", 400},
    {"tab before the colon",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", 400},
    {"no colon", "GET / HTTP/1.1\r\nHost: x\r\nX\r\n\r\n", 400},
    {"empty name", "GET / HTTP/1.1\r\nHost: x\r\n: a\r\n\r\n", 400},
    {"no token as name", "GET / HTTP/1.1\r\nHost: x\r\nX(Y: a\r\n\r\n", 400},
    {"NUL in a name",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding\0: chunked\r\n\r\n0\r\n\r\n"sv, 400},
    {"NUL in a value", "GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n"sv, 400},
    {"control character in a value", "GET / HTTP/1.1\r\nHost: x\r\nX: a\x0b\r\n\r\n", 400},
    {"DEL in a value", "GET / HTTP/1.1\r\nHost: x\r\nX: a\x7f\r\n\r\n", 400},
    {"bare CR in a value", "GET / HTTP/1.1\r\nHost: x\r\nX: a\rY: b\r\n\r\n", 400},
    {"bare LF in the fields", "GET / HTTP/1.1\r\nHost: x\nX: a\r\n\r\n", 400},
    {"bare LF ends the head", "GET / HTTP/1.1\r\nHost: x\r\n\n", 400},
    {"CR CR LF ends the head", "GET / HTTP/1.1\r\nHost: x\r\n\r\r\n", 400},
    // ---- whom it is for
    {"no Host", "GET / HTTP/1.1\r\n\r\n", 400},
    {"no Host beside an absolute target", "GET http://x/ HTTP/1.1\r\n\r\n", 400},
    {"two Hosts", "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400},
    {"the same Host twice", "GET / HTTP/1.1\r\nHost: x\r\nhost: x\r\n\r\n", 400},
    {"empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
    {"list in Host", "GET / HTTP/1.1\r\nHost: x, y\r\n\r\n", 400},
    {"user in Host", "GET / HTTP/1.1\r\nHost: a@x\r\n\r\n", 400},
    {"path in Host", "GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", 400},
    {"escape in Host", "GET / HTTP/1.1\r\nHost: x%2e\r\n\r\n", 400},
    {"port that is none", "GET / HTTP/1.1\r\nHost: x:8o\r\n\r\n", 400},
    {"empty port", "GET / HTTP/1.1\r\nHost: x:\r\n\r\n", 400},
    {"port too large", "GET / HTTP/1.1\r\nHost: x:65536\r\n\r\n", 400},
    {"two ports", "GET / HTTP/1.1\r\nHost: x:80:80\r\n\r\n", 400},
    {"open bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400},
    // ---- where the body ends
    {"both length and chunks",
     "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: "
     "chunked\r\n\r\n0\r\n\r\n",
     400},
    {"both chunks and length",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: "
     "5\r\n\r\n0\r\n\r\n",
     400},
    {"both, and the length is 0",
     "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nTransfer-Encoding: "
     "chunked\r\n\r\n0\r\n\r\n",
     400},
    {"two lengths",
     "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400},
    {"the same length twice",
     "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400},
    {"list of lengths", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\nhello", 400},
    {"empty length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\nhello", 400},
    {"length with a sign", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello", 400},
    {"negative length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\nhello", 400},
    {"hexadecimal length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\nhello", 400},
    {"length with a fraction", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5.0\r\n\r\nhello",
     400},
    {"length with a space inside", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5 0\r\n\r\nhello",
     400},
    {"length beyond 64 bits",
     "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551621\r\n\r\nhello", 400},
    {"length named by Connection",
     "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: Content-Length\r\n\r\nhello",
     400},
    {"Transfer-Encoding named by Connection",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
     "Connection: transfer-encoding\r\n\r\n0\r\n\r\n",
     400},
    {"Host named by Connection", "GET / HTTP/1.1\r\nHost: x\r\nConnection: host\r\n\r\n", 400},
    {"no token in Connection", "GET / HTTP/1.1\r\nHost: x\r\nConnection: a b\r\n\r\n", 400},
    {"two codings",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
    {"chunked is not the last",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 501},
    {"chunked twice in a list",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 501},
    {"chunked in two fields",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
     "chunked\r\n\r\n0\r\n\r\n",
     400},
    {"identity", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 501},
    {"xchunked", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501},
    {"chunked with a parameter",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n", 501},
    {"quoted chunked",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 501},
    {"vertical tab before chunked",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0b"
     "chunked\r\n\r\n0\r\n\r\n",
     400},
    {"empty coding", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n", 400},
    {"chunks of HTTP/1.0",
     "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
    // ---- chunks
    {"no size", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", 400, 1},
    {"negative size",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n", 400,
     1},
    {"size with 0x",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n", 400,
     1},
    {"size with a space before",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n 1\r\nx\r\n0\r\n\r\n", 400,
     1},
    {"size with a space behind",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\nx\r\n0\r\n\r\n", 400,
     1},
    {"size beyond 60 bits",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000001\r\nx\r\n",
     400, 1},
    {"many zeros before the size",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0000000000000001\r\nx\r\n",
     400, 1},
    {"bare LF behind the size",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n", 400, 1},
    {"bare LF in an extension",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nx\r\n0\r\n\r\n", 400, 1},
    {"bare CR in an extension",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;a\rb\r\nx\r\n0\r\n\r\n",
     400, 1},
    {"chunk longer than its size",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n", 400,
     1},
    {"chunk that ends in LF",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\n0\r\n\r\n", 400, 1},
    {"chunk that ends in anything",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxZZ0\r\n\r\n", 400, 1},
    {"last chunk ends in LF",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\n\r\n", 400, 1},
    {"trailers end in LF",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\n", 400, 1},
    {"length as trailer",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: "
     "5\r\n\r\n",
     400, 1},
    {"Transfer-Encoding as trailer",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
     "Transfer-Encoding: chunked\r\n\r\n",
     400, 1},
    {"Host as trailer",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: y\r\n\r\n", 400,
     1},
    {"folded trailer",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n c\r\n\r\n", 400,
     1},
    {"space before a trailer's colon",
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA : b\r\n\r\n", 400, 1},
};

TEST(Http1Smuggling, WhatIsAmbiguousIsRefusedAndNothingBehindItIsRead) {
  for (const Case& c : kRefused) {
    for (const size_t piece : {SIZE_MAX, size_t{1}, size_t{7}}) {
      const Outcome outcome = Play(std::string(c.input) + std::string(kSecond), piece, {});
      EXPECT_EQ(outcome.refused, c.refused) << c.what;
      EXPECT_EQ(outcome.requests, c.requests) << c.what;
      EXPECT_EQ(outcome.paths.find("/second"), std::string::npos) << c.what;
      EXPECT_EQ(outcome.error, c.requests > 0 ? "protocol " : "") << c.what;
      EXPECT_TRUE(outcome.closed) << c.what;
    }
  }
}

struct Good {
  const char* what;
  std::string_view input;
  const char* paths;  // of all requests
  const char* authority = "x";
};

constexpr Good kGood[] = {
    {"body that looks like a request",
     "POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 35\r\n\r\nGET /evil HTTP/1.1\r\nHost: x\r\n"
     "\r\n1234",
     "/1 /second "},
    {"chunk that looks like a request",
     "POST /1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1f\r\nGET /evil HTTP/1.1\r\n"
     "Host: x\r\n\r\n\r\n0\r\n\r\n",
     "/1 /second "},
    {"GET with a body", "GET /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
     "/1 /second "},
    {"length with leading zeros", "POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 005\r\n\r\nhello",
     "/1 /second "},
    {"spaces around a value", "POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: \t5 \r\n\r\nhello",
     "/1 /second "},
    {"case of names and coding",
     "POST /1 HTTP/1.1\r\nhOST: x\r\ntransfer-ENCODING: "
     "CHUNKED\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
     "/1 /second "},
    {"absolute target wins over Host", "GET http://y:8080/1?q HTTP/1.1\r\nHost: x\r\n\r\n", "/1?q ",
     "y:8080"},
    {"absolute target without a path", "GET HTTP://y HTTP/1.1\r\nHost: x\r\n\r\n", "/ ", "y"},
    {"absolute target with a query alone", "GET http://y?q HTTP/1.1\r\nHost: x\r\n\r\n", "/?q ",
     "y"},
    {"OPTIONS of all", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "* /second "},
    {"OPTIONS of all, absolute", "OPTIONS http://x HTTP/1.1\r\nHost: x\r\n\r\n", "* /second "},
    {"IPv6 address", "GET /1 HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n", "/1 ",
     "[2001:db8::1]:80"},
    {"a method that nobody knows", "PURGE_all /1 HTTP/1.1\r\nHost: x\r\n\r\n", "/1 /second "},
    {"bytes over 127 in a value", "GET /1 HTTP/1.1\r\nHost: x\r\nX: \xc3\xa9\r\n\r\n",
     "/1 /second "},
    {"empty value", "GET /1 HTTP/1.1\r\nHost: x\r\nX:\r\n\r\n", "/1 /second "},
    {"empty elements in Connection", "GET /1 HTTP/1.1\r\nHost: x\r\nConnection: ,,\r\n\r\n",
     "/1 /second "},
};

TEST(Http1Smuggling, WhatIsClearIsTakenForWhatItIs) {
  for (const Good& c : kGood) {
    for (const size_t piece : {SIZE_MAX, size_t{1}, size_t{7}}) {
      const bool two = std::string_view(c.paths).ends_with("/second ");
      const Outcome outcome =
          Play(std::string(c.input) + std::string(two ? kSecond : ""), piece, {});
      EXPECT_EQ(outcome.paths, c.paths) << c.what;
      EXPECT_EQ(outcome.authority, c.authority) << c.what;
      EXPECT_EQ(outcome.refused, 0) << c.what;
      EXPECT_FALSE(outcome.closed) << c.what;
    }
  }
}

TEST(Http1Smuggling, LimitsAreExact) {
  const std::string field = "x: " + std::string(95, 'a') + "\r\n";  // 100 bytes
  const auto status = [](Limits limits, const std::string& input, size_t piece) {
    const Outcome outcome = Play(input, piece, limits);
    return outcome.refused != 0 ? outcome.refused : uint16_t{200};
  };
  for (const size_t piece : {SIZE_MAX, size_t{1}}) {
    const std::string get = "GET / HTTP/1.1\r\n", host = "host: x\r\n";
    EXPECT_EQ(status({.line_bytes = 16}, get + host + "\r\n", piece), 200);
    EXPECT_EQ(status({.line_bytes = 15}, get + host + "\r\n", piece), 414);
    EXPECT_EQ(status({.line_bytes = 100}, std::string(200, 'a'), piece), 414) << "without an end";
    EXPECT_EQ(status({.head_bytes = 111}, get + host + field + "\r\n", piece), 200);
    EXPECT_EQ(status({.head_bytes = 110}, get + host + field + "\r\n", piece), 431);
    EXPECT_EQ(status({.head_bytes = 110}, get + host + std::string(200, 'a'), piece), 431);
    EXPECT_EQ(status({.head_fields = 2}, get + host + field + "\r\n", piece), 200);
    EXPECT_EQ(status({.head_fields = 2}, get + host + field + field + "\r\n", piece), 431);
    const std::string chunked = get + host + "transfer-encoding: chunked\r\n\r\n";
    EXPECT_EQ(status({.trailer_bytes = 102}, chunked + "0\r\n" + field + "\r\n", piece), 200);
    EXPECT_EQ(status({.trailer_bytes = 101}, chunked + "0\r\n" + field + "\r\n", piece), 400);
    const std::string extended = "1;" + std::string(49, 'e') + "\r\nx\r\n";
    EXPECT_EQ(status({.trailer_bytes = 100}, chunked + extended + extended + "0\r\n\r\n", piece),
              200);
    EXPECT_EQ(status({.trailer_bytes = 99}, chunked + extended + extended + "0\r\n\r\n", piece),
              400);
    EXPECT_EQ(status({}, chunked + "1;" + std::string(260, 'e') + "\r\nx\r\n0\r\n\r\n", piece),
              400);
  }
}

}  // namespace
}  // namespace mesh::http
