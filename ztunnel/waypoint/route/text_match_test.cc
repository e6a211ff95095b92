#include "ztunnel/waypoint/route/text_match.h"

#include <gtest/gtest.h>

#include "ztunnel/waypoint/route/for_test.h"

namespace mesh::route {
namespace {

TextMatch Text(const std::string& text) {
  auto match = TextMatch::Compile(FromText<l7::v1::StringMatch>(text));
  EXPECT_TRUE(match.ok()) << match.status();
  return *match;
}

PathMatch Path(const std::string& text) {
  auto match = PathMatch::Compile(FromText<l7::v1::PathMatch>(text));
  EXPECT_TRUE(match.ok()) << match.status();
  return *match;
}

TEST(TextMatch, ComparesByItsKind) {
  struct Case {
    const char *match, *value;
    bool matches;
  } cases[] = {
      {"exact: 'a'", "a", true},          {"exact: 'a'", "A", false},
      {"exact: 'a'", "ab", false},        {"exact: ''", "", true},
      {"exact: ''", "a", false},          {"exact: 'aB' ignore_case: true", "Ab", true},
      {"prefix: 'ab'", "abc", true},      {"prefix: 'ab'", "a", false},
      {"prefix: 'ab'", "ABc", false},     {"prefix: 'ab' ignore_case: true", "ABc", true},
      {"prefix: ''", "", true},           {"suffix: '.com'", "x.com", true},
      {"suffix: '.com'", "x.org", false}, {"suffix: '.com' ignore_case: true", "x.COM", true},
      {"regex: 'a+'", "aaa", true},       {"regex: 'a+'", "aab", false},  // all of it
      {"regex: '(?i)a+'", "AA", true},    {"present: true", "", true},
      {"present: false", "", false},
  };
  for (const Case& c : cases)
    EXPECT_EQ(Text(c.match).Matches(std::string_view(c.value)), c.matches)
        << c.match << " of " << c.value;
}

TEST(TextMatch, OnlyAbsenceMatchesWhatIsAbsent) {
  const std::optional<std::string_view> absent;
  EXPECT_TRUE(Text("present: false").Matches(absent));
  for (const char* match : {"present: true", "exact: ''", "prefix: ''", "regex: '.*'"})
    EXPECT_FALSE(Text(match).Matches(absent)) << match;
}

TEST(TextMatch, RefusesWhatItCannotRun) {
  const auto why = [](const std::string& text) {
    return TextMatch::Compile(FromText<l7::v1::StringMatch>(text)).status().ToString();
  };
  EXPECT_NE(why("").find("no kind"), std::string::npos);
  EXPECT_NE(why("regex: '('").find("missing )"), std::string::npos);
  EXPECT_NE(why("regex: '(?=a)'").find("regex"), std::string::npos);  // no look-ahead in RE2
  EXPECT_NE(why("regex: '" + std::string(1025, 'a') + "'").find("1025"), std::string::npos);
  EXPECT_NE(why("regex: '((a{100}){100}){100}'").find("regex"), std::string::npos);
  EXPECT_NE(why("regex: 'a' ignore_case: true").find("ignore_case"), std::string::npos);
}

TEST(PathMatch, ComparesByItsKind) {
  struct Case {
    const char *match, *path;
    bool matches;
  } cases[] = {
      {"exact: '/foo'", "/foo", true},
      {"exact: '/foo'", "/foo/", false},
      {"exact: '/foo'", "/Foo", false},
      {"exact: '/foo' ignore_case: true", "/FOO", true},
      {"prefix: '/foo'", "/foobar", true},
      {"prefix: '/foo'", "/fo", false},
      {"prefix: '/foo' ignore_case: true", "/FOObar", true},
      {"prefix: ''", "*", true},
      {"segment_prefix: '/foo'", "/foo", true},
      {"segment_prefix: '/foo'", "/foo/", true},
      {"segment_prefix: '/foo'", "/foo/bar", true},
      {"segment_prefix: '/foo'", "/foobar", false},
      {"segment_prefix: '/foo/'", "/foo", true},
      {"segment_prefix: '/foo/'", "/foobar", false},
      {"segment_prefix: '/'", "/", true},
      {"segment_prefix: '/'", "/foo", true},
      {"segment_prefix: '/foo' ignore_case: true", "/FOO/bar", true},
      {"segment_prefix: '/foo' ignore_case: true", "/FOObar", false},
      {"suffix: '.png'", "/a/b.png", true},
      {"suffix: '.png'", "/a/b.jpg", false},
      {"regex: '/v[0-9]+/.*'", "/v12/x", true},
      {"regex: '/v[0-9]+'", "/v12/x", false},
      {"present: true", "/anything", true},
      {"template: '/a/{*}/c'", "/a/b/c", true},
      {"template: '/a/{*}/c'", "/a//c", false},
      {"template: '/a/{*}/c'", "/a/b/b/c", false},
      {"template: '/a/{*}'", "/a/b", true},
      {"template: '/a/{*}'", "/a/", false},
      {"template: '/a/{*}'", "/a/b/c", false},
      {"template: '/a/{**}'", "/a/", true},
      {"template: '/a/{**}'", "/a/b/c", true},
      {"template: '/a/{**}'", "/ab", false},
      {"template: '/a/{**}/z'", "/a/b/c/z", true},
      {"template: '/a/{**}/z'", "/a/b/c/y", false},
      {"template: '/{*}/b/{**}'", "/x/b/", true},
      {"template: '/{*}/b/{**}'", "/x/y/b/", false},
      {"template: '/plain'", "/plain", true},
      {"template: '/plain'", "/plain/", false},
  };
  for (const Case& c : cases)
    EXPECT_EQ(Path(c.match).Matches(c.path), c.matches) << c.match << " of " << c.path;
}

TEST(PathMatch, RefusesTemplatesThatMeanNothing) {
  for (const char* text :
       {"template: 'a'", "template: '/{**}/{*}'", "template: '/{**}/{**}'", "template: '/a{*}'",
        "template: '/{*}b'", "template: '/{x}'", "template: '/}'", "template: '/{'",
        "present: false", "", "template: '/a' ignore_case: true"})
    EXPECT_FALSE(PathMatch::Compile(FromText<l7::v1::PathMatch>(text)).ok()) << text;
}

}  // namespace
}  // namespace mesh::route
