#include "ztunnel/waypoint/route/actions.h"

#include "ztunnel/waypoint/route/for_test.h"

namespace mesh::route {
namespace {

http::RequestHead HeadOf(const std::string& target) {
  http::RequestHead head;
  head.method = "GET";
  head.scheme = "http";
  head.authority = "reviews:9080";
  head.path = target;
  return head;
}

Facts FactsOf(const http::RequestHead& head) {
  Facts facts;
  facts.request = &head;
  facts.downstream_remote = SocketAddress::Parse("10.1.0.7:4711");
  facts.route_name = "the-route";
  return facts;
}

std::string ForwardWith(const std::string& match, const std::string& rewrite) {
  return "routes { matches { " + match + " } forward { backends { cluster: 'a' } rewrite { " +
         rewrite + " } } }";
}

TEST(Rewrite, ReplacesWhatTheMatchTook) {
  struct Case {
    const char *match, *rewrite, *target, *result;
  } cases[] = {
      {"path { prefix: '/foo' }", "prefix: '/bar'", "/foo/x", "/bar/x"},
      {"path { prefix: '/foo' }", "prefix: '/bar'", "/foobar?q=/foo", "/barbar?q=/foo"},
      {"path { prefix: '/foo' }", "prefix: '/'", "/foo/x", "//x"},  // of characters
      {"path { prefix: '/foo/' }", "prefix: '/'", "/foo/x", "/x"},
      {"path { prefix: '/foo/' }", "prefix: ''", "/foo/x", "/x"},
      {"path { prefix: '/FOO' ignore_case: true }", "prefix: '/bar'", "/foo/x", "/bar/x"},
      {"path { exact: '/foo' }", "prefix: '/bar'", "/foo?q", "/bar?q"},
      {"path { regex: '/f.*' }", "prefix: '/bar'", "/foo/x", "/bar"},
      {"path { prefix: '/foo' }", "full_path: '/bar'", "/foo/x?q", "/bar?q"},
      {"path { prefix: '/foo' }", "full_path: '/bar?a=1'", "/foo/x?q", "/bar?a=1&q"},
      // The table of Gateway API's ReplacePrefixMatch.
      {"path { segment_prefix: '/foo' }", "prefix: '/xyz'", "/foo/bar", "/xyz/bar"},
      {"path { segment_prefix: '/foo' }", "prefix: '/xyz/'", "/foo/bar", "/xyz/bar"},
      {"path { segment_prefix: '/foo/' }", "prefix: '/xyz'", "/foo/bar", "/xyz/bar"},
      {"path { segment_prefix: '/foo/' }", "prefix: '/xyz/'", "/foo/bar", "/xyz/bar"},
      {"path { segment_prefix: '/foo' }", "prefix: '/xyz'", "/foo", "/xyz"},
      {"path { segment_prefix: '/foo' }", "prefix: '/xyz'", "/foo/", "/xyz/"},
      {"path { segment_prefix: '/foo' }", "prefix: ''", "/foo/bar", "/bar"},
      {"path { segment_prefix: '/foo' }", "prefix: ''", "/foo/", "/"},
      {"path { segment_prefix: '/foo' }", "prefix: ''", "/foo", "/"},
      {"path { segment_prefix: '/foo' }", "prefix: '/'", "/foo/", "/"},
      {"path { segment_prefix: '/foo' }", "prefix: '/'", "/foo", "/"},
      {"path { segment_prefix: '/foo' }", "prefix: '/'", "/foo/bar?q", "/bar?q"},
      {"path { segment_prefix: '/' }", "prefix: '/xyz'", "/bar", "/xyz/bar"},
      {"", "regex { match: '/v([0-9]+)/(.*)' substitution: '/\\\\2/\\\\1' }", "/v1/x?v=2",
       "/x/1?v=2"},
      {"", "regex { match: 'a' substitution: 'b' }", "/aXa?a", "/bXb?a"},  // every match
      {"", "regex { match: '/x' substitution: 'y' }", "/x/z", "/y/z"},
  };
  for (const Case& c : cases) {
    const auto table = TableOf(ForwardWith(c.match, c.rewrite));
    http::RequestHead head = HeadOf(c.target);
    const Route* route = table->Find(TestRequest(c.target).view());
    ASSERT_NE(route, nullptr) << c.match;
    PrepareUpstream(*route, route->forward()->backends[0], FactsOf(head), head);
    EXPECT_EQ(head.path, c.result) << c.match << " " << c.rewrite << " " << c.target;
    EXPECT_EQ(head.headers.Find("x-envoy-original-path"), c.target);
    EXPECT_EQ(head.authority, "reviews:9080");
  }
}

TEST(Rewrite, WhatStaysLeavesNoTrace) {
  for (const char* rewrite : {"", "prefix: '/foo'", "regex { match: 'z' substitution: 'y' }"}) {
    const auto table = TableOf(ForwardWith("path { prefix: '/foo' }", rewrite));
    http::RequestHead head = HeadOf("/foo/x");
    const Route& route = table->routes()[0];
    PrepareUpstream(route, route.forward()->backends[0], FactsOf(head), head);
    EXPECT_EQ(head.path, "/foo/x");
    EXPECT_FALSE(head.headers.Has("x-envoy-original-path"));
  }
  const auto table = TableOf(ForwardWith("", "full_path: '/x'"));
  EXPECT_EQ(RewrittenTarget(table->routes()[0], "*"), std::nullopt);
}

TEST(HeaderOps, RemoveThenSetThenAdd) {
  const auto table = TableOf(
      "routes { direct_response { status: 200 } request_headers {"
      " remove: 'Gone' add { name: 'X-Set' value: 'added' } set { name: 'x-set' value: 'set' }"
      " set { name: 'gone' value: 'back' } add { name: 'kept' value: '2' } } }");
  http::RequestHead head = HeadOf("/");
  head.headers.Add("gone", "1");
  head.headers.Add("kept", "1");
  head.headers.Add("x-set", "0");
  Apply(table->routes()[0].request_headers, FactsOf(head), head.headers);
  EXPECT_EQ(head.headers.Joined("gone"), "back");
  EXPECT_EQ(head.headers.Joined("kept"), "1,2");
  EXPECT_EQ(head.headers.Joined("x-set"), "set,added");
}

TEST(HeaderOps, ValuesSubstituteAndEmptyOnesChangeNothing) {
  const auto table = TableOf(
      "routes { direct_response { status: 200 } request_headers {"
      " set { name: 'client' value: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%' }"
      " set { name: 'copy' value: '<%REQ(User-Agent)%>' }"
      " set { name: 'percent' value: '100%%' }"
      " set { name: 'old' value: '%REQ(absent)%' }"
      " set { name: 'empty' value: '' }"
      " add { name: 'new' value: '%REQ(absent)%' } } }");
  http::RequestHead head = HeadOf("/");
  head.headers.Add("user-agent", "curl");
  head.headers.Add("old", "stays");
  Apply(table->routes()[0].request_headers, FactsOf(head), head.headers);
  EXPECT_EQ(head.headers.Find("client"), "10.1.0.7");
  EXPECT_EQ(head.headers.Find("copy"), "<curl>");
  EXPECT_EQ(head.headers.Find("percent"), "100%");
  EXPECT_EQ(head.headers.Find("old"), "stays");
  EXPECT_FALSE(head.headers.Has("new"));
  EXPECT_FALSE(head.headers.Has("empty"));
}

// With one backend its operations come last and win, with several the route's.
TEST(HeaderOps, TheOrderOfLevelsDependsOnTheBackends) {
  const std::string ops =
      " request_headers { set { name: 'who' value: 'L' } set { name: 'host' value: 'L' } }"
      " response_headers { set { name: 'who' value: 'L' } }";
  const auto with = [](std::string text, const std::string& level) {
    for (size_t at; (at = text.find("'L'")) != text.npos;) text.replace(at, 3, "'" + level + "'");
    return text;
  };
  for (const bool backend_first : {false, true}) {
    const auto table =
        TableOf("routes { forward { backends { cluster: 'a' " + with(ops, "backend") +
                " } backend_headers_first: " + (backend_first ? "true" : "false") + " } " +
                with(ops, "route") + " }");
    const Route& route = table->routes()[0];
    const Backend& backend = route.forward()->backends[0];
    const std::string winner = backend_first ? "route" : "backend";
    http::RequestHead head = HeadOf("/");
    PrepareUpstream(route, backend, FactsOf(head), head);
    EXPECT_EQ(head.headers.Joined("who"), winner);
    EXPECT_EQ(head.authority, winner);
    http::HeaderMap response;
    FinishResponse(route, &backend, FactsOf(head), response);
    EXPECT_EQ(response.Joined("who"), winner);
    response.Clear();
    FinishResponse(route, nullptr, FactsOf(head), response);
    EXPECT_EQ(response.Joined("who"), "route");
  }
}

TEST(HeaderOps, TheAuthorityOfARewriteBeatsHostHeaders) {
  const auto authority = [](const std::string& headers, const std::string& rewrite) {
    const auto table = TableOf("routes { forward { backends { } rewrite { " + rewrite +
                               " } } request_headers { " + headers + " } }");
    http::RequestHead head = HeadOf("/");
    const Route& route = table->routes()[0];
    PrepareUpstream(route, route.forward()->backends[0], FactsOf(head), head);
    return head.authority;
  };
  const std::string both =
      "add { name: 'Host' value: 'added' } set { name: ':authority' value: 'set' }";
  EXPECT_EQ(authority(both, ""), "set");
  EXPECT_EQ(authority("add { name: 'Host' value: 'added' }", ""), "added");
  EXPECT_EQ(authority(both, "authority: 'rewritten:80'"), "rewritten:80");
  EXPECT_EQ(authority("set { name: 'Host' value: '%REQ(absent)%' }", ""), "reviews:9080");
}

TEST(Redirect, SaysWhere) {
  struct Case {
    const char *match, *redirect, *authority, *target, *location;
  } cases[] = {
      {"", "code: 301", "h", "/x?q", "http://h/x?q"},
      {"", "code: 301 full_path: '/new'", "h", "/x?q", "http://h/new?q"},
      {"", "code: 301 full_path: '/new?a'", "h", "/x?q", "http://h/new?a"},
      {"", "code: 301 authority: 'other'", "h:8080", "/x", "http://other/x"},
      {"", "code: 301 authority: 'other:81'", "h:8080", "/x", "http://other:81/x"},
      {"", "code: 301 full_path: '/new'", "h:8080", "/x", "http://h:8080/new"},
      {"", "code: 301 scheme: 'https'", "h", "/x", "https://h/x"},
      {"", "code: 301 scheme: 'https'", "h:8080", "/x", "https://h/x"},
      {"", "code: 301 scheme: 'https' port: 8443", "h:80", "/x", "https://h:8443/x"},
      {"", "code: 301 scheme: 'https' port: 443", "h:80", "/x", "https://h/x"},
      {"", "code: 301 port: 80", "h:8080", "/x", "http://h/x"},
      {"", "code: 301 port: 8081", "h", "/x", "http://h:8081/x"},
      {"", "code: 301 port_of_request: true", "h:8080", "/x", "http://h:8080/x"},
      {"", "code: 301 port_of_request: true", "h", "/x", "http://h:9080/x"},
      {"", "code: 301 authority: 'o' port_of_request: true", "h:8080", "/x", "http://o:8080/x"},
      {"", "code: 301 scheme: 'https' port_of_request: true", "h:80", "/x", "https://h:80/x"},
      {"", "code: 301", "[::1]", "/x", "http://[::1]/x"},
      {"", "code: 301 scheme: 'https'", "[::1]:80", "/x", "https://[::1]/x"},
      {"path { prefix: '/old' }", "code: 301 has_prefix: true prefix: '/new'", "h", "/old/x?q",
       "http://h/new/x?q"},
      {"path { segment_prefix: '/old' }", "code: 301 has_prefix: true prefix: '/'", "h", "/old/x",
       "http://h/x"},
      {"path { segment_prefix: '/old' }", "code: 301 has_prefix: true", "h", "/old", "http://h/"},
  };
  for (const Case& c : cases) {
    const auto table = TableOf("routes { matches { " + std::string(c.match) + " } redirect { " +
                               c.redirect + " } }");
    TestRequest request(c.target);
    request.authority = c.authority;
    const Route* route = table->Find(request.view());
    ASSERT_NE(route, nullptr);
    const auto head =
        RedirectResponse(*route, std::get<Redirect>(route->action), request.view(), 9080);
    EXPECT_EQ(head.status, 301);
    EXPECT_EQ(head.headers.Find("location"), c.location) << c.redirect;
  }
}

TEST(Mirror, TheShadowStandsBeforeThePort) {
  EXPECT_EQ(ShadowAuthority("reviews"), "reviews-shadow");
  EXPECT_EQ(ShadowAuthority("reviews:9080"), "reviews-shadow:9080");
  EXPECT_EQ(ShadowAuthority("[::1]"), "[::1]-shadow");
  EXPECT_EQ(ShadowAuthority("[::1]:80"), "[::1]-shadow:80");
}

TEST(Share, CountsInMillionths) {
  EXPECT_FALSE(Share{0}.Takes(0));
  EXPECT_TRUE(Share{1}.Takes(1'000'000));
  EXPECT_FALSE(Share{1}.Takes(1));
  EXPECT_TRUE(Share{1'000'000}.Takes(999'999));
}

TEST(Fault, DelayAndAbortAreSampledApart) {
  const auto table = TableOf(
      "routes { forward { backends { } } fault { delay { seconds: 5 } delay_share { per_million: "
      "100000 } abort_status: 500 abort_share { per_million: 50000 } } }"
      "routes { forward { backends { } } fault { abort_grpc: true abort_grpc_status: 14 "
      "abort_share { per_million: 1000000 } } }"
      "routes { forward { backends { } } fault { delay { seconds: 5 } abort_status: 500 } }");
  const Fault& both = *table->routes()[0].fault;
  int delays = 0, aborts = 0, pairs = 0;
  for (uint64_t a = 0; a < 1'000'000; a += 10'000) {
    for (uint64_t b = 0; b < 1'000'000; b += 10'000) {
      const FaultDecision decision = DecideFault(both, a, b);
      delays += decision.delay == absl::Seconds(5);
      aborts += decision.abort_status == 500;
      pairs += decision.delay && decision.abort_status;
    }
  }
  EXPECT_EQ(delays, 1000);
  EXPECT_EQ(aborts, 500);
  EXPECT_EQ(pairs, 50);
  EXPECT_EQ(DecideFault(*table->routes()[1].fault, 0, 0).abort_grpc_status, 14);
  EXPECT_EQ(DecideFault(*table->routes()[1].fault, 0, 0).delay, std::nullopt);
  const FaultDecision absent = DecideFault(*table->routes()[2].fault, 0, 0);  // no share: nobody
  EXPECT_FALSE(absent.delay || absent.abort_status);
}

const char kCors[] =
    "allow_origins { exact: 'https://a.example' } allow_origins { regex: 'https://.*[.]b' } "
    "allow_methods: 'GET' allow_methods: 'PUT' allow_headers: 'x-a' allow_headers: 'x-b' "
    "expose_headers: 'x-c' max_age { seconds: 600 } allow_credentials: true ";

TestRequest Preflight(const std::string& origin) {
  TestRequest request("/");
  request.method = "OPTIONS";
  request.With("origin", origin).With("access-control-request-method", "PATCH");
  return request.With("access-control-request-headers", "x-wanted");
}

Cors CorsOf(const std::string& text) {
  return *TableOf("routes { direct_response { status: 200 } cors { " + text + " } }")
              ->routes()[0]
              .cors;
}

TEST(CorsPolicy, AnswersPreflightsOfAllowedOrigins) {
  const Cors cors = CorsOf(kCors);
  for (const char* origin : {"https://a.example", "https://x.b"}) {
    const CorsDecision decision = CheckCors(cors, Preflight(origin).view());
    EXPECT_TRUE(decision.origin_allowed);
    ASSERT_TRUE(decision.answer);
    EXPECT_EQ(decision.answer->status, 200);
    const http::HeaderMap& headers = decision.answer->headers;
    EXPECT_EQ(headers.Find("access-control-allow-origin"), origin);
    EXPECT_EQ(headers.Find("access-control-allow-methods"), "GET,PUT");
    EXPECT_EQ(headers.Find("access-control-allow-headers"), "x-a,x-b");
    EXPECT_EQ(headers.Find("access-control-max-age"), "600");
    EXPECT_EQ(headers.Find("access-control-allow-credentials"), "true");
    EXPECT_FALSE(headers.Has("access-control-expose-headers"));
  }
}

TEST(CorsPolicy, AStarEchoesWhatIsAskedFor) {
  const Cors cors = CorsOf("allow_origins { exact: '*' } allow_methods: '*' allow_headers: '*'");
  const CorsDecision decision = CheckCors(cors, Preflight("https://any").view());
  ASSERT_TRUE(decision.answer);
  EXPECT_EQ(decision.answer->headers.Find("access-control-allow-origin"), "https://any");
  EXPECT_EQ(decision.answer->headers.Find("access-control-allow-methods"), "PATCH");
  EXPECT_EQ(decision.answer->headers.Find("access-control-allow-headers"), "x-wanted");
  EXPECT_FALSE(decision.answer->headers.Has("access-control-max-age"));
  EXPECT_FALSE(decision.answer->headers.Has("access-control-allow-credentials"));
}

TEST(CorsPolicy, OtherPreflightsAreForwardedOrIgnored) {
  const CorsDecision forwarded = CheckCors(CorsOf(kCors), Preflight("https://evil").view());
  EXPECT_FALSE(forwarded.origin_allowed);
  EXPECT_FALSE(forwarded.answer);
  const CorsDecision ignored =
      CheckCors(CorsOf(std::string(kCors) + "ignore_unmatched_preflights: true"),
                Preflight("https://evil").view());
  ASSERT_TRUE(ignored.answer);
  EXPECT_EQ(ignored.answer->status, 200);
  EXPECT_TRUE(ignored.answer->headers.empty());
}

TEST(CorsPolicy, ActualRequestsAreForwardedAndTheirAnswersMarked) {
  const Cors cors = CorsOf(kCors);
  TestRequest request("/");
  request.With("origin", "https://a.example");
  const CorsDecision decision = CheckCors(cors, request.view());
  EXPECT_TRUE(decision.origin_allowed);
  EXPECT_FALSE(decision.answer);
  http::HeaderMap headers;
  AddCorsHeaders(cors, "https://a.example", headers);
  EXPECT_EQ(headers.Find("access-control-allow-origin"), "https://a.example");
  EXPECT_EQ(headers.Find("access-control-expose-headers"), "x-c");
  EXPECT_EQ(headers.Find("access-control-allow-credentials"), "true");
  // Without Origin, and OPTIONS without what a preflight asks: nothing happens.
  EXPECT_FALSE(CheckCors(cors, TestRequest("/").view()).origin_allowed);
  request.method = "OPTIONS";
  EXPECT_FALSE(CheckCors(cors, request.view()).answer);
}

}  // namespace
}  // namespace mesh::route
