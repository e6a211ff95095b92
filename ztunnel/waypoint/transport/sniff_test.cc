#include <gtest/gtest.h>

#include <string>

#include "ztunnel/waypoint/transport/sni.h"
#include "ztunnel/waypoint/transport/sniff_transport.h"

namespace mesh::transport {
namespace {

std::span<const std::byte> Bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}
std::string Number(size_t value, size_t width) {
  std::string out;
  for (size_t i = width; i-- > 0;) out.push_back(static_cast<char>(value >> (8 * i)));
  return out;
}
std::string Vector(size_t width, const std::string& content) {
  return Number(content.size(), width) + content;
}
std::string ClientHello(const std::string& name) {
  const std::string entry = std::string(1, '\0') + Vector(2, name);
  const std::string extensions = Number(0, 2) + Vector(2, Vector(2, entry));
  const std::string body = "\x03\x03" + std::string(32, 'R') + Vector(1, "") +
                           Vector(2, "\x13\x01") + Vector(1, std::string(1, '\0')) +
                           Vector(2, extensions);
  return "\x16\x03\x01" + Vector(2, "\x01" + Vector(3, body));
}

TEST(Sniff, TellsWhatIsSpoken) {
  EXPECT_EQ(WhatIs(Bytes("")), Spoken::kUndecided);
  EXPECT_EQ(WhatIs(Bytes("GE")), Spoken::kUndecided);
  EXPECT_EQ(WhatIs(Bytes("GET / HTTP/1.1\r\n")), Spoken::kHttp1);
  EXPECT_EQ(WhatIs(Bytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")), Spoken::kHttp2);
  EXPECT_EQ(WhatIs(Bytes("PRI * ")), Spoken::kUndecided);
  EXPECT_EQ(WhatIs(Bytes("PRIVMSG you")), Spoken::kHttp1);  // a method as far as one can see
  EXPECT_EQ(WhatIs(Bytes("ping\n")), Spoken::kOther);
  EXPECT_EQ(WhatIs(Bytes(" GET /")), Spoken::kOther);
  EXPECT_EQ(WhatIs(Bytes(std::string(40, 'A'))), Spoken::kOther);
}

TEST(Sniff, TlsIsDecidedOnItsWholeFirstRecord) {
  const std::string hello = ClientHello("Api.Example.com");
  for (size_t n = 1; n < hello.size(); ++n) {
    ASSERT_EQ(WhatIs(Bytes(hello).first(n)), Spoken::kUndecided) << n;
    ASSERT_EQ(SniOf(Bytes(hello).first(n)), "") << n;
  }
  EXPECT_EQ(WhatIs(Bytes(hello)), Spoken::kTls);
  EXPECT_EQ(SniOf(Bytes(hello)), "api.example.com");
  EXPECT_EQ(SniOf(Bytes("\x16nonsense that is long enough")), "");
}

}  // namespace
}  // namespace mesh::transport
