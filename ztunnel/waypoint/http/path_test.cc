#include "ztunnel/waypoint/http/path.h"

#include <gtest/gtest.h>

#include <optional>

namespace mesh::http {
namespace {

std::optional<std::string> Normal(PathNormalization how, std::string path) {
  if (!NormalizePath(how, path)) return std::nullopt;
  return path;
}

TEST(Path, EachNormalizationHasItsSpelling) {
  // What each of the four makes of a path; nullptr: refused.
  struct Case {
    const char* path;
    const char* base;
    const char* merge;
    const char* decode;
  };
  constexpr Case kCases[] = {
      {"/", "/", "/", "/"},
      {"/a/b", "/a/b", "/a/b", "/a/b"},
      {"/a/b/", "/a/b/", "/a/b/", "/a/b/"},
      {"/A/b", "/A/b", "/A/b", "/A/b"},
      // dot segments
      {"/a/./b", "/a/b", "/a/b", "/a/b"},
      {"/a/../b", "/b", "/b", "/b"},
      {"/a/b/..", "/a/", "/a/", "/a/"},
      {"/a/b/.", "/a/b/", "/a/b/", "/a/b/"},
      {"/..", "/", "/", "/"},
      {"/../../a", "/a", "/a", "/a"},
      {"/a/b/../../../../c", "/c", "/c", "/c"},
      {"/a/.b/..c/d.", "/a/.b/..c/d.", "/a/.b/..c/d.", "/a/.b/..c/d."},
      {"/a/...", "/a/...", "/a/...", "/a/..."},
      {"/a/%2e/b", "/a/b", "/a/b", "/a/b"},
      {"/a/%2E%2e/b", "/b", "/b", "/b"},
      {"/a/.%2E/b", "/b", "/b", "/b"},
      {"/a/%2E./b", "/b", "/b", "/b"},
      {"/a%2Eb", "/a.b", "/a.b", "/a.b"},
      // backslashes
      {"/a\\b", "/a/b", "/a/b", "/a/b"},
      {"/a\\..\\b", "/b", "/b", "/b"},
      {"/\\a", "//a", "/a", "/a"},
      // slashes in a row
      {"//a//b//", "//a//b//", "/a/b/", "/a/b/"},
      {"///", "///", "/", "/"},
      {"/a//../b", "/a/b", "/a/b", "/a/b"},
      {"/a/..//b", "//b", "/b", "/b"},
      // escaped slashes
      {"/a%2Fb", "/a%2Fb", "/a%2Fb", "/a/b"},
      {"/a%2fb", "/a%2fb", "/a%2fb", "/a/b"},
      {"/a%5Cb%5c", "/a%5Cb%5c", "/a%5Cb%5c", "/a/b/"},
      {"/a%2F..%2Fb", "/a%2F..%2Fb", "/a%2F..%2Fb", "/b"},
      {"/a/..%2F..%2f..%5Cb", "/a/..%2F..%2f..%5Cb", "/a/..%2F..%2f..%5Cb", "/b"},
      {"/a/%2F/b", "/a/%2F/b", "/a/%2F/b", "/a/b"},
      // other escapes
      {"/%61%5A%30%7e", "/aZ0~", "/aZ0~", "/aZ0~"},
      {"/%41%2D%5F", "/A-_", "/A-_", "/A-_"},
      {"/%c0%af", "/%c0%af", "/%c0%af", "/%c0%af"},
      {"/%25%32%46", "/%252F", "/%252F", "/%252F"},
      {"/%252e%252e/a", "/%252e%252e/a", "/%252e%252e/a", "/%252e%252e/a"},
      {"/a%20b%3F", "/a%20b%3F", "/a%20b%3F", "/a%20b%3F"},
      {"/{a}|\"<^`>", "/%7Ba%7D%7C%22%3C%5E%60%3E", "/%7Ba%7D%7C%22%3C%5E%60%3E",
       "/%7Ba%7D%7C%22%3C%5E%60%3E"},
      {"/\xc3\xa9", "/%C3%A9", "/%C3%A9", "/%C3%A9"},
      {"/a;b=c,d:@!$&'()*+", "/a;b=c,d:@!$&'()*+", "/a;b=c,d:@!$&'()*+", "/a;b=c,d:@!$&'()*+"},
      // the query stays
      {"/a?b/../c//d\\%2F%zz", "/a?b/../c//d\\%2F%zz", "/a?b/../c//d\\%2F%zz",
       "/a?b/../c//d\\%2F%zz"},
      {"/a/..?", "/?", "/?", "/?"},
      {"/a//b?x=//", "/a//b?x=//", "/a/b?x=//", "/a/b?x=//"},
      // refused
      {"/a%", nullptr, nullptr, nullptr},
      {"/a%4", nullptr, nullptr, nullptr},
      {"/a%zz", nullptr, nullptr, nullptr},
      {"/%2%46", nullptr, nullptr, nullptr},
      {"/a%00", nullptr, nullptr, nullptr},
      {"/xyz/.%00../abc", nullptr, nullptr, nullptr},
      {"/xyz/AAAAA%%0000/abc", nullptr, nullptr, nullptr},
      {"/a b", nullptr, nullptr, nullptr},
      {"/a\tb", nullptr, nullptr, nullptr},
      {"/a\x7f", nullptr, nullptr, nullptr},
      {"/a#b", nullptr, nullptr, nullptr},
      {"/a?b#c", nullptr, nullptr, nullptr},
      {"a/b", nullptr, nullptr, nullptr},
      {"\\a", nullptr, nullptr, nullptr},
      {"%2Fa", nullptr, nullptr, nullptr},
      // no paths
      {"*", "*", "*", "*"},
      {"", "", "", ""},
  };
  const auto expect = [](PathNormalization how, const char* path, const char* wanted) {
    const std::optional<std::string> normal = Normal(how, path);
    EXPECT_EQ(normal, wanted == nullptr ? std::nullopt : std::optional<std::string>(wanted))
        << path << " by " << static_cast<int>(how);
    if (normal) EXPECT_EQ(Normal(how, *normal), normal) << "twice is as once";
  };
  for (const Case& c : kCases) {
    expect(PathNormalization::kBase, c.path, c.base);
    expect(PathNormalization::kMergeSlashes, c.path, c.merge);
    expect(PathNormalization::kDecodeAndMergeSlashes, c.path, c.decode);
    expect(PathNormalization::kNone, c.path, c.path);
  }
}

TEST(Path, ARefusedPathIsAsItWas) {
  std::string path = "/a/../b%00";
  EXPECT_FALSE(NormalizePath(PathNormalization::kBase, path));
  EXPECT_EQ(path, "/a/../b%00");
  path = std::string("/a\0b", 4);
  EXPECT_FALSE(NormalizePath(PathNormalization::kBase, path));
}

}  // namespace
}  // namespace mesh::http
