#include "tools/meshapp/text.h"

#include <gtest/gtest.h>

#include "tools/meshapp/histogram.h"

namespace mesh::meshapp {
namespace {

TEST(Text, ForeignBytesBecomeValidJson) {
  EXPECT_EQ(JsonString("a\"b\\c\n\xff"), R"("a\"b\\c\u000a\u00ff")");
}

TEST(Text, DurationsCarryTheirUnit) {
  EXPECT_EQ(ParseDuration("200ms")->count(), 200);
  EXPECT_EQ(ParseDuration("1.5s")->count(), 1500);
  EXPECT_EQ(ParseDuration("70")->count(), 70);
  for (const char* bad : {"", "s", "-1s", "1h", "nan", "1e99s"})
    EXPECT_FALSE(ParseDuration(bad)) << bad;
}

TEST(Text, SizesArePowersOf1024) {
  EXPECT_EQ(ParseSize("100"), 100u);
  EXPECT_EQ(ParseSize("1M"), 1u << 20);
  for (const char* bad : {"", "M", "1X", "-1", "inf"}) EXPECT_FALSE(ParseSize(bad)) << bad;
}

TEST(Text, FractionsAreBetweenNothingAndAll) {
  EXPECT_EQ(ParseFraction("0.3"), 0.3);
  EXPECT_EQ(ParseFraction("30%"), 0.3);
  EXPECT_FALSE(ParseFraction("1.5"));
}

TEST(Text, QueryValuesAreDecoded) {
  EXPECT_EQ(QueryValue("a=1&name=x%20y+z&b", "name"), "x y z");
  EXPECT_EQ(QueryValue("a=1&b", "b"), "");
  EXPECT_FALSE(QueryValue("ab=1", "a"));
}

TEST(Text, HostAndPortInBothFamilies) {
  EXPECT_EQ(ParseHostPort("reviews:9080")->host, "reviews");
  EXPECT_EQ(ParseHostPort("[fd00::1]:80")->host, "fd00::1");
  for (const char* bad : {"reviews", ":80", "a:0", "a:70000", "a:b"})
    EXPECT_FALSE(ParseHostPort(bad)) << bad;
}

TEST(Histogram, QuantilesAreWithinOnePercent) {
  Histogram histogram;
  for (int us = 1; us <= 10'000; ++us) histogram.Add(std::chrono::microseconds(us));
  EXPECT_NEAR(histogram.QuantileUs(0.5), 5000, 50);
  EXPECT_NEAR(histogram.QuantileUs(0.99), 9900, 99);
  EXPECT_EQ(histogram.max_us(), 10'000);
  Histogram other;
  other.Add(std::chrono::seconds(3000));
  histogram.Merge(other);
  EXPECT_EQ(histogram.count(), 10'001u);
  EXPECT_NEAR(histogram.QuantileUs(1), 3e9, 3e7);
}

}  // namespace
}  // namespace mesh::meshapp
