#include "ztunnel/core/hbone/proxy_protocol.h"

#include <gtest/gtest.h>

#include "absl/strings/escaping.h"

namespace mesh::hbone {
namespace {

std::string Hex(const std::string& bytes) {
  return std::string(absl::BytesToHexString(absl::string_view(bytes.data(), bytes.size())));
}

TEST(ProxyProtocol, WritesBothFamilies) {
  EXPECT_EQ(Hex(ProxyProtocolHeader(*SocketAddress::Parse("10.0.0.1:258"),
                                    *SocketAddress::Parse("10.0.0.2:80"), std::nullopt)),
            "0d0a0d0a000d0a515549540a"
            "2111000c"
            "0a0000010a00000201020050");
  const std::string six = ProxyProtocolHeader(*SocketAddress::Parse("10.0.0.1:1"),
                                              *SocketAddress::Parse("[fd00::1]:2"), std::nullopt);
  EXPECT_EQ(Hex(six).substr(24, 8), "21210024");
  EXPECT_EQ(Hex(six).substr(32, 32), "00000000000000000000ffff0a000001");
}

TEST(ProxyProtocol, NamesTheIdentity) {
  const identity::Identity id{"t", "n", "s"};
  const std::string header = ProxyProtocolHeader(*SocketAddress::Parse("10.0.0.1:1"),
                                                 *SocketAddress::Parse("10.0.0.2:2"), id);
  EXPECT_EQ(header.substr(28, 3), std::string("\xD0\x00\x14", 3));
  EXPECT_EQ(header.substr(31), "spiffe://t/ns/n/sa/s");
}

}  // namespace
}  // namespace mesh::hbone
