#include "ztunnel/base/ip.h"

#include <gtest/gtest.h>

namespace mesh {
namespace {

TEST(IpAddress, RoundTripsBothFamilies) {
  for (const char* text : {"0.0.0.0", "10.96.0.7", "255.255.255.255", "::", "::1", "fd00::7",
                           "2001:db8::ff00:42:8329"}) {
    const auto ip = IpAddress::Parse(text);
    ASSERT_TRUE(ip) << text;
    EXPECT_EQ(ip->ToString(), text);
    EXPECT_EQ(IpAddress::FromBytes(ip->ToBytes()), ip);
  }
}

TEST(IpAddress, RefusesWhatIsNotOne) {
  for (const char* text : {"", "1.2.3", "1.2.3.4.5", "256.1.1.1", "::g", "fe80::1%eth0", "[::1]",
                           " 1.2.3.4", "1.2.3.4 "}) {
    EXPECT_FALSE(IpAddress::Parse(text)) << text;
  }
  EXPECT_FALSE(IpAddress::FromBytes("123"));
}

TEST(IpAddress, MappedTextIsTheSameAsIpv4) {
  EXPECT_EQ(IpAddress::Parse("::ffff:10.0.0.1"), IpAddress::Parse("10.0.0.1"));
}

TEST(IpPrefix, ContainsOnlyItsOwnFamilyAndBits) {
  const auto prefix = *IpPrefix::Parse("10.1.128.0/17");
  EXPECT_TRUE(prefix.Contains(*IpAddress::Parse("10.1.200.3")));
  EXPECT_FALSE(prefix.Contains(*IpAddress::Parse("10.1.127.255")));
  EXPECT_FALSE(prefix.Contains(*IpAddress::Parse("fd00::1")));
  EXPECT_TRUE(IpPrefix::Parse("0.0.0.0/0")->Contains(*IpAddress::Parse("1.2.3.4")));
  EXPECT_FALSE(IpPrefix::Parse("::/0")->Contains(*IpAddress::Parse("1.2.3.4")));
  EXPECT_FALSE(IpPrefix::Parse("10.0.0.0/33"));
}

TEST(IpPrefix, MaskedClearsWhatIsBeyondItsLength) {
  const struct {
    const char* ip;
    uint8_t length;
    const char* masked;
  } cases[] = {{"10.1.2.3", 32, "10.1.2.3/32"},
               {"10.1.2.3", 24, "10.1.2.0/24"},
               {"10.1.255.3", 17, "10.1.128.0/17"},
               {"10.1.2.3", 0, "0.0.0.0/0"},
               {"fd00:1:2::3", 128, "fd00:1:2::3/128"},
               {"fd00:ffff::3", 17, "fd00:8000::/17"},
               {"fd00:1:2::3", 0, "::/0"}};
  for (const auto& c : cases) {
    EXPECT_EQ(IpPrefix::Masked(*IpAddress::Parse(c.ip), c.length).ToString(), c.masked) << c.ip;
  }
}

TEST(SocketAddress, ParsesAndPrints) {
  EXPECT_EQ(SocketAddress::Parse("10.0.0.1:80")->ToString(), "10.0.0.1:80");
  EXPECT_EQ(SocketAddress::Parse("[fd00::1]:8080")->ToString(), "[fd00::1]:8080");
  for (const char* text : {"10.0.0.1", "10.0.0.1:", "10.0.0.1:65536", "fd00::1:80", "[10.0.0.1]:80",
                           "[::1:80", ":80", "10.0.0.1:+1"}) {
    EXPECT_FALSE(SocketAddress::Parse(text)) << text;
  }
}

}  // namespace
}  // namespace mesh
