#include "ztunnel/core/hbone/proxy_protocol.h"

namespace mesh::hbone {
namespace {

constexpr char kSignature[] = "\r\n\r\n\0\r\nQUIT\n";  // 12 bytes
constexpr char kVersionAndProxy = 0x21;
constexpr char kTcp4 = 0x11;
constexpr char kTcp6 = 0x21;
constexpr char kIdentityRecord = static_cast<char>(0xD0);

void Put16(std::string& out, size_t value) {
  out += static_cast<char>(value >> 8);
  out += static_cast<char>(value & 0xff);
}

void PutIp(std::string& out, const IpAddress& ip, bool v4) {
  if (v4) {
    out += ip.ToBytes();
    return;
  }
  out.append(reinterpret_cast<const char*>(ip.bytes16().data()), ip.bytes16().size());
}

}  // namespace

std::string ProxyProtocolHeader(const SocketAddress& source, const SocketAddress& destination,
                                const std::optional<identity::Identity>& identity) {
  const bool v4 = source.ip.IsV4() && destination.ip.IsV4();
  std::string body;
  PutIp(body, source.ip, v4);
  PutIp(body, destination.ip, v4);
  Put16(body, source.port);
  Put16(body, destination.port);
  if (identity) {
    const std::string text = identity->ToString();
    body += kIdentityRecord;
    Put16(body, text.size());
    body += text;
  }
  std::string out(kSignature, sizeof kSignature - 1);
  out += kVersionAndProxy;
  out += v4 ? kTcp4 : kTcp6;
  Put16(out, body.size());
  return out + body;
}

}  // namespace mesh::hbone
