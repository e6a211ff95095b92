#include "ztunnel/base/ip.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace mesh {
namespace {

constexpr std::array<uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

template <typename T>
std::optional<T> ParseNumber(std::string_view text, unsigned max) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || value > max) {
    return std::nullopt;
  }
  return static_cast<T>(value);
}

}  // namespace

IpAddress IpAddress::V4(uint32_t address) {
  std::array<uint8_t, 16> bytes{};
  std::ranges::copy(kMappedPrefix, bytes.begin());
  for (int i = 0; i < 4; ++i) bytes[12 + i] = static_cast<uint8_t>(address >> (24 - 8 * i));
  return IpAddress(bytes);
}

std::optional<IpAddress> IpAddress::FromBytes(std::string_view in) {
  std::array<uint8_t, 16> bytes{};
  if (in.size() == 4) {
    std::ranges::copy(kMappedPrefix, bytes.begin());
    std::memcpy(bytes.data() + 12, in.data(), 4);
  } else if (in.size() == 16) {
    std::memcpy(bytes.data(), in.data(), 16);
  } else {
    return std::nullopt;
  }
  return IpAddress(bytes);
}

std::optional<IpAddress> IpAddress::Parse(std::string_view text) {
  char buffer[INET6_ADDRSTRLEN];
  if (text.empty() || text.size() >= sizeof(buffer)) return std::nullopt;
  std::memcpy(buffer, text.data(), text.size());
  buffer[text.size()] = '\0';
  if (std::memchr(buffer, '\0', text.size()) != nullptr) return std::nullopt;
  in_addr v4;
  if (::inet_pton(AF_INET, buffer, &v4) == 1) return V4(ntohl(v4.s_addr));
  in6_addr v6;
  if (::inet_pton(AF_INET6, buffer, &v6) != 1) return std::nullopt;
  return FromBytes(std::string_view(reinterpret_cast<const char*>(v6.s6_addr), 16));
}

bool IpAddress::IsV4() const {
  return std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), bytes_.begin());
}

bool IpAddress::IsLoopback() const {
  if (IsV4()) return bytes_[12] == 127;
  return std::all_of(bytes_.begin(), bytes_.end() - 1, [](uint8_t b) { return b == 0; }) &&
         bytes_[15] == 1;
}

bool IpAddress::IsUnspecified() const {
  const auto begin = IsV4() ? bytes_.begin() + 12 : bytes_.begin();
  return std::all_of(begin, bytes_.end(), [](uint8_t b) { return b == 0; });
}

uint32_t IpAddress::v4_host_order() const {
  return uint32_t{bytes_[12]} << 24 | uint32_t{bytes_[13]} << 16 | uint32_t{bytes_[14]} << 8 |
         bytes_[15];
}

std::string IpAddress::ToBytes() const {
  const size_t skip = IsV4() ? 12 : 0;
  return std::string(reinterpret_cast<const char*>(bytes_.data()) + skip, 16 - skip);
}

std::string IpAddress::ToString() const {
  char buffer[INET6_ADDRSTRLEN];
  const bool v4 = IsV4();
  ::inet_ntop(v4 ? AF_INET : AF_INET6, bytes_.data() + (v4 ? 12 : 0), buffer, sizeof(buffer));
  return buffer;
}

std::optional<IpPrefix> IpPrefix::Parse(std::string_view text) {
  const size_t slash = text.find('/');
  const auto ip = IpAddress::Parse(text.substr(0, slash));
  if (!ip) return std::nullopt;
  const uint8_t max = ip->IsV4() ? 32 : 128;
  if (slash == std::string_view::npos) return IpPrefix{*ip, max};
  const auto length = ParseNumber<uint8_t>(text.substr(slash + 1), max);
  if (!length) return std::nullopt;
  return IpPrefix{*ip, *length};
}

IpPrefix IpPrefix::Masked(const IpAddress& ip, uint8_t length) {
  std::array<uint8_t, 16> bytes = ip.bytes16();
  int keep = length + (ip.IsV4() ? 96 : 0);
  for (uint8_t& byte : bytes) {
    if (keep < 8) byte &= keep <= 0 ? 0 : static_cast<uint8_t>(0xff << (8 - keep));
    keep -= 8;
  }
  return {IpAddress::FromBytes16(bytes), length};
}

bool IpPrefix::Contains(const IpAddress& ip) const {
  return ip.IsV4() == address.IsV4() && Masked(ip, length) == Masked(address, length);
}

std::string IpPrefix::ToString() const { return fmt::format("{}/{}", address.ToString(), length); }

std::optional<SocketAddress> SocketAddress::Parse(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  if (!host.empty() && host.front() == '[') {
    if (host.back() != ']') return std::nullopt;
    host = host.substr(1, host.size() - 2);
    if (host.find(':') == std::string_view::npos) return std::nullopt;
  } else if (host.find(':') != std::string_view::npos) {
    return std::nullopt;
  }
  const auto ip = IpAddress::Parse(host);
  const auto port = ParseNumber<uint16_t>(text.substr(colon + 1), 65535);
  if (!ip || !port) return std::nullopt;
  return SocketAddress{*ip, *port};
}

std::optional<SocketAddress> SocketAddress::FromSockaddr(const sockaddr_storage& storage) {
  if (storage.ss_family == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in&>(storage);
    return SocketAddress{IpAddress::V4(ntohl(in.sin_addr.s_addr)), ntohs(in.sin_port)};
  }
  if (storage.ss_family == AF_INET6) {
    const auto& in = reinterpret_cast<const sockaddr_in6&>(storage);
    const auto ip = IpAddress::FromBytes(
        std::string_view(reinterpret_cast<const char*>(in.sin6_addr.s6_addr), 16));
    return SocketAddress{*ip, ntohs(in.sin6_port)};
  }
  return std::nullopt;
}

socklen_t SocketAddress::ToSockaddr(sockaddr_storage& out, int family) const {
  std::memset(&out, 0, sizeof(out));
  if (family == AF_INET) {
    auto& in = reinterpret_cast<sockaddr_in&>(out);
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    in.sin_addr.s_addr = htonl(ip.v4_host_order());
    return sizeof(in);
  }
  auto& in = reinterpret_cast<sockaddr_in6&>(out);
  in.sin6_family = AF_INET6;
  in.sin6_port = htons(port);
  std::memcpy(in.sin6_addr.s6_addr, ip.bytes16().data(), 16);
  return sizeof(in);
}

std::string SocketAddress::ToString() const {
  return ip.IsV4() ? fmt::format("{}:{}", ip.ToString(), port)
                   : fmt::format("[{}]:{}", ip.ToString(), port);
}

}  // namespace mesh

size_t std::hash<mesh::IpAddress>::operator()(const mesh::IpAddress& ip) const noexcept {
  const auto& bytes = ip.bytes16();
  return std::hash<std::string_view>()(
      std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}
