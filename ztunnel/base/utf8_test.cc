#include "ztunnel/base/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace mesh {
namespace {

TEST(Utf8, KnowsWhatIsWellFormed) {
  for (const char* good : {"", "a", "\x7f", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                           "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsUtf8(good)) << good;
  }
  // Alone, cut short, overlong, a surrogate, beyond the last.
  for (const char* bad :
       {"\xff", "\x80", "a\xc3", "\xe2\x82", "\xf0\x9f\x98", "\xc0\xaf", "\xe0\x80\xaf",
        "\xf0\x80\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80"}) {
    EXPECT_FALSE(IsUtf8(bad)) << bad;
  }
  EXPECT_EQ(Utf8Length(""), 0u);
}

TEST(Utf8, EachBadByteIsReplacedAndTheRestStays) {
  std::string out;
  ForEachUtf8("a\xff\xc3\xa9\xe2\x82", [&](std::string_view piece) { out += piece; });
  EXPECT_EQ(out, "a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd");
}

}  // namespace
}  // namespace mesh
