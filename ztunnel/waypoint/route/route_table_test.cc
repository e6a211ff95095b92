#include "ztunnel/waypoint/route/route_table.h"

#include <map>
#include <random>

#include "ztunnel/waypoint/route/for_test.h"
#include "ztunnel/waypoint/route/match_index.h"

namespace mesh::route {
namespace {

TEST(RouteTable, FirstMatchWinsWhateverItsKind) {
  const auto table = TableOf(RoutesOf({
      "matches { path { exact: '/a/b/c' } headers { name: 'x-one' match { exact: '1' } } }",
      "matches { path { prefix: '/a/b' } method { exact: 'POST' } }",
      "matches { path { regex: '/a/.*' } method { exact: 'PUT' } }",
      "matches { path { exact: '/a/b/c' } }",
      "matches { path { segment_prefix: '/a' } }",
      "matches { path { prefix: '/' } }",
  }));
  TestRequest request("/a/b/c");
  EXPECT_EQ(NameOf(*table, request), "3");
  request.method = "POST";
  EXPECT_EQ(NameOf(*table, request), "1");
  request.method = "PUT";
  EXPECT_EQ(NameOf(*table, request), "2");
  request.With("x-one", "1");
  EXPECT_EQ(NameOf(*table, request), "0");
  EXPECT_EQ(NameOf(*table, TestRequest("/a")), "4");
  EXPECT_EQ(NameOf(*table, TestRequest("/ab")), "5");
  EXPECT_EQ(NameOf(*table, TestRequest("*")), "");
}

TEST(RouteTable, WithoutMatchesTakesEverythingAndAnEmptyTableNothing) {
  EXPECT_EQ(NameOf(*TableOf(RoutesOf({""})), TestRequest("*")), "0");
  EXPECT_EQ(NameOf(*TableOf(RoutesOf({"matches { }"})), TestRequest("/x")), "0");
  EXPECT_EQ(TableOf("")->Find(TestRequest("/x").view()), nullptr);
}

TEST(RouteTable, AlternativesAreNamedAndKeepTheirPath) {
  const auto table = TableOf(
      "routes { name: 'http' direct_response { status: 200 }"
      "  matches { name: 'x' path { prefix: '/x' } } matches { path { prefix: '/y' } } }"
      "routes { direct_response { status: 200 } matches { name: 'only' } }");
  EXPECT_EQ(NameOf(*table, TestRequest("/x1")), "http.x");
  EXPECT_EQ(NameOf(*table, TestRequest("/y")), "http");
  EXPECT_EQ(table->Find(TestRequest("/y").view())->path.text(), "/y");
  EXPECT_EQ(NameOf(*table, TestRequest("/z")), "only");
}

struct MatchCase {
  const char* match;
  TestRequest request;
  bool matches;
};

class Matching : public testing::TestWithParam<MatchCase> {};

TEST_P(Matching, AsTheConfigurationApiSays) {
  const auto table = TableOf(RoutesOf({std::string("matches { ") + GetParam().match + " }"}));
  EXPECT_EQ(NameOf(*table, GetParam().request), GetParam().matches ? "0" : "") << GetParam().match;
}

TestRequest Get(std::string target = "/") { return TestRequest(std::move(target)); }
TestRequest From(std::string ns, Labels labels = {}) {
  TestRequest request;
  request.source_namespace = std::move(ns);
  request.labels = std::move(labels);
  return request;
}
TestRequest Method(std::string method) {
  TestRequest request;
  request.method = std::move(method);
  return request;
}

INSTANTIATE_TEST_SUITE_P(
    Heads, Matching,
    testing::Values(MatchCase{"method { exact: 'GET' }", Get(), true},
                    MatchCase{"method { exact: 'GET' }", Method("get"), false},
                    MatchCase{"method { regex: 'GET|HEAD' }", Method("HEAD"), true},
                    MatchCase{"scheme { exact: 'http' }", Get(), true},
                    MatchCase{"scheme { exact: 'https' }", Get(), false},
                    MatchCase{"authority { exact: 'reviews:9080' }", Get(), true},
                    MatchCase{"authority { exact: 'reviews' }", Get(),
                              false},  // the port is part of it
                    MatchCase{"authority { exact: 'Reviews:9080' }", Get(), false},
                    MatchCase{"authority { prefix: 'reviews' }", Get(), true},
                    MatchCase{"path { exact: '/x' }", Get("/x?a=b"), true},  // without query
                    MatchCase{"path { prefix: '/x' } method { exact: 'PUT' }", Get("/x"), false}));

INSTANTIATE_TEST_SUITE_P(
    Headers, Matching,
    testing::Values(
        MatchCase{"headers { name: 'a' match { exact: '1' } }", Get().With("a", "1"), true},
        MatchCase{"headers { name: 'A' match { exact: '1' } }", Get().With("a", "1"), true},
        MatchCase{"headers { name: 'a' match { exact: '1' } }", Get().With("a", "2"), false},
        MatchCase{"headers { name: 'a' match { exact: '' } }", Get().With("a", ""), true},
        MatchCase{"headers { name: 'a' match { exact: '' } }", Get(), false},
        MatchCase{"headers { name: 'a' match { present: true } }", Get().With("a", ""), true},
        MatchCase{"headers { name: 'a' match { present: true } }", Get(), false},
        MatchCase{"headers { name: 'a' match { present: false } }", Get(), true},
        MatchCase{"headers { name: 'a' match { exact: '1,2' } }",
                  Get().With("a", "1").With("b", "x").With("a", "2"), true},
        MatchCase{"headers { name: 'a' match { exact: '1' } }", Get().With("a", "1").With("a", "2"),
                  false},
        MatchCase{"headers { name: 'a' match { exact: '1' } invert: true }", Get().With("a", "1"),
                  false},
        MatchCase{"headers { name: 'a' match { exact: '1' } invert: true }", Get(), true},
        MatchCase{"headers { name: 'a' match { exact: '' } invert: true }", Get(), false},
        MatchCase{"headers { name: 'a' match { prefix: 'x' } invert: true }", Get(), true},
        MatchCase{"headers { name: 'a' match { regex: '.*' } invert: true }", Get(), false},
        MatchCase{"headers { name: 'a' match { present: true } invert: true }", Get(), true},
        MatchCase{"headers { name: 'a' match { present: true } invert: true }", Get().With("a", ""),
                  false},
        MatchCase{"headers { name: ':path' match { prefix: '/x?a' } }", Get("/x?a=b"), true},
        MatchCase{"headers { name: 'host' match { exact: 'reviews:9080' } }", Get(), true},
        MatchCase{"headers { name: ':method' match { exact: 'GET' } }", Get(), true},
        MatchCase{"headers { name: 'a' match { exact: '1' } } "
                  "headers { name: 'b' match { exact: '2' } }",
                  Get().With("a", "1"), false}));

INSTANTIATE_TEST_SUITE_P(
    Queries, Matching,
    testing::Values(MatchCase{"query { name: 'q' match { exact: '1' } }", Get("/?q=1"), true},
                    MatchCase{"query { name: 'q' match { exact: '1' } }", Get("/?a=2&q=1&b"), true},
                    MatchCase{"query { name: 'Q' match { exact: '1' } }", Get("/?q=1"), false},
                    MatchCase{"query { name: 'q' match { exact: '1' } }", Get("/?q=2&q=1"), false},
                    MatchCase{"query { name: 'q' match { exact: '' } }", Get("/?q="), true},
                    MatchCase{"query { name: 'q' match { exact: '' } }", Get("/?q"), true},
                    MatchCase{"query { name: 'q' match { exact: '' } }", Get("/?a"), false},
                    MatchCase{"query { name: 'q' match { present: true } }", Get("/?q"), true},
                    MatchCase{"query { name: 'q' match { regex: '[0-9]+' } }", Get("/?q=12"), true},
                    MatchCase{"query { name: 'q' match { regex: '[0-9]+' } }", Get("/?q=12x"),
                              false},
                    MatchCase{"query { name: 'q' match { prefix: 'a' } }", Get("/?q=a=b"), true}));

INSTANTIATE_TEST_SUITE_P(
    Sources, Matching,
    testing::Values(
        MatchCase{"source_namespace: 'shop'", From("shop"), true},
        MatchCase{"source_namespace: 'shop'", From("other"), false},
        MatchCase{"source_namespace: 'shop'", From(""), false},
        MatchCase{"source_labels { key: 'app' value: 'a' }", From("", {{"app", "a"}}), true},
        MatchCase{"source_labels { key: 'app' value: 'a' }", From("", {{"app", "b"}}), false},
        MatchCase{"source_labels { key: 'app' value: 'a' } source_labels { key: 'v' value: '1' }",
                  From("", {{"app", "a"}}), false},
        MatchCase{"source_labels { key: 'app' value: 'a' }", From(""), false}));

TEST(RouteTable, RefusalsNameTheField) {
  struct Case {
    std::string text, field;
  } cases[] = {
      {RoutesOf({"", "matches {} matches { path { regex: '(' } }"}),
       "routes[1]: matches[1]: path: regex"},
      {RoutesOf({"matches { headers { name: 'a b' match { exact: '' } } }"}), "headers[0]: name"},
      {RoutesOf({"matches { headers { name: ':x' match { exact: '' } } }"}), "headers[0]: name"},
      {RoutesOf({"matches { headers { name: 'a' } }"}), "headers[0]: a: no kind"},
      {RoutesOf({"matches { query { match { exact: '' } } }"}), "query[0]: name: empty"},
      {"routes { }", "routes[0]: no action"},
      {"routes { forward { } }", "forward: backends: none"},
      {"routes { forward { backends { cluster: 'a' } backends { cluster: 'b' } } }", "sum to 0"},
      {"routes { forward { backends { cluster: 'a' unknown_status: 99 } } }", "unknown_status"},
      {"routes { forward { backends { } rewrite { full_path: 'x' } } }", "rewrite: full_path"},
      {"routes { forward { backends { } rewrite { prefix: '/a b' } } }", "rewrite: prefix"},
      {"routes { forward { backends { } rewrite { authority: 'a/b' } } }", "rewrite: authority"},
      {"routes { forward { backends { } rewrite { regex { match: 'a' substitution: '\\\\1' } } } }",
       "regex: substitution"},
      {"routes { forward { backends { } timeout { seconds: -1 } } }", "timeout: a duration"},
      {"routes { forward { backends { } retry { retry_on: 'x' } } }", "retry: retry_on[0]"},
      {"routes { forward { backends { } mirrors { share { per_million: 1000001 } } } }",
       "mirrors[0].share"},
      {"routes { redirect { code: 304 } }", "redirect: code: 304"},
      {"routes { redirect { code: 301 scheme: 'ftp' } }", "scheme"},
      {"routes { redirect { code: 301 port: 70000 } }", "port"},
      {"routes { direct_response { status: 99 } }", "direct_response: status"},
      {"routes { direct_response { status: 200 } fault { abort_status: 700 } }", "abort_status"},
      {"routes { direct_response { status: 200 } cors { allow_methods: 'a b' } }",
       "cors: allow_methods"},
      {"routes { direct_response { status: 200 } request_headers { remove: 'Host' } }",
       "request_headers: remove[0]"},
      {"routes { direct_response { status: 200 } request_headers { set { name: ':path' } } }",
       "set[0]"},
      {"routes { direct_response { status: 200 } "
       "response_headers { add { name: 'Content-Length' value: '1' } } }",
       "add[0]: content-length"},
      {"routes { direct_response { status: 200 } request_headers { set { name: 'a' value: '%X%' } "
       "} }",
       "set[0]: %X% is not known"},
      {"routes { direct_response { status: 200 } request_headers { set { name: 'a' value: 'b\\nc' "
       "} } }",
       "set[0]: \"b\nc\" is no header value"},
  };
  for (const Case& c : cases)
    EXPECT_NE(RefusalOf(c.text).find(c.field), std::string::npos) << RefusalOf(c.text);
}

TEST(RouteTable, WeightsAreSharesOfTheirSum) {
  const auto table = TableOf(
      "routes { forward { backends { cluster: 'a' weight: 90 } backends { cluster: 'b' weight: 10 }"
      " backends { cluster: 'never' } } }"
      "routes { forward { backends { cluster: 'single' } } }");
  const Forward& forward = *table->routes()[0].forward();
  std::map<std::string, int> seen;
  for (uint64_t random = 0; random < 1000; ++random) ++seen[ChooseBackend(forward, random).cluster];
  EXPECT_EQ(seen, (std::map<std::string, int>{{"a", 900}, {"b", 100}}));
  EXPECT_EQ(ChooseBackend(*table->routes()[1].forward(), 7).cluster, "single");
}

// The index answers as a scan of all matches does.
TEST(RouteTable, AgreesWithALinearScan) {
  std::mt19937 random(7);
  const auto pick = [&random](auto... options) {
    const std::string all[] = {options...};
    return all[random() % (sizeof...(options))];
  };
  for (int round = 0; round < 200; ++round) {
    std::vector<std::string> texts;
    const size_t count = 1 + random() % 40;
    for (size_t i = 0; i < count; ++i) {
      texts.push_back(
          "matches { " +
          pick("", "path { exact: '/a' }", "path { exact: '/a/b' }", "path { prefix: '/a' }",
               "path { prefix: '/' }", "path { prefix: '/ab' }", "path { segment_prefix: '/a' }",
               "path { segment_prefix: '/a/b/' }", "path { suffix: 'b' }", "path { prefix: '' }",
               "path { exact: '/A' ignore_case: true }", "path { regex: '/a.*' }") +
          pick("", "headers { name: 'x' match { exact: '1' } }",
               "headers { name: 'x' match { exact: '2' } }",
               "headers { name: 'y' match { exact: '1' } }",
               "headers { name: 'y' match { exact: '1' } invert: true }",
               "authority { exact: 'reviews:9080' }", "authority { exact: 'other' }",
               "headers { name: 'x' match { exact: '1' } } "
               "headers { name: 'y' match { exact: '1' } }") +
          " }");
    }
    const std::string text = RoutesOf(texts);
    const auto table = TableOf(text);
    const auto frontend = FromText<l7::v1::Frontend>(text);
    std::vector<std::shared_ptr<const RouteTable>> single;
    for (const auto& route : frontend.routes()) {
      l7::v1::Frontend one;
      *one.add_routes() = route;
      single.push_back(*RouteTable::Compile(one));
    }
    for (int i = 0; i < 40; ++i) {
      TestRequest request(pick("/a", "/a/", "/a/b", "/ab", "/a/b/c", "/b", "/", "*", "/A"));
      if (random() % 2) request.With("x", pick("1", "2", "3"));
      if (random() % 2) request.With("y", pick("1", "2"));
      if (random() % 3 == 0) request.authority = "other";
      std::string want;
      for (const auto& one : single) {
        if (one->Find(request.view()) == nullptr) continue;
        want = one->routes()[0].name;
        break;
      }
      ASSERT_EQ(NameOf(*table, request), want) << text << request.target;
    }
  }
}

}  // namespace
}  // namespace mesh::route
