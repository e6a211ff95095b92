// IP and socket addresses as values. IPv4 is kept v4-mapped (::ffff:a.b.c.d), so that there is one
// comparison, one hash and one map key for both families, here and in the kernel.
#pragma once

#include <absl/status/statusor.h>
#include <sys/socket.h>

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace mesh {

class IpAddress {
 public:
  IpAddress() = default;  // ::

  static IpAddress V4(uint32_t address_host_order);
  static IpAddress FromBytes16(const std::array<uint8_t, 16>& bytes) { return IpAddress(bytes); }
  // Exactly 4 or 16 bytes, network order, as on the wire of workload discovery.
  static std::optional<IpAddress> FromBytes(std::string_view bytes);
  // Text without zone, port or brackets. "::ffff:1.2.3.4" gives the IPv4 address.
  static std::optional<IpAddress> Parse(std::string_view text);

  bool IsV4() const;
  bool IsLoopback() const;
  bool IsUnspecified() const;  // 0.0.0.0 or ::
  const std::array<uint8_t, 16>& bytes16() const { return bytes_; }
  uint32_t v4_host_order() const;  // only for IsV4()
  // 4 or 16 bytes in network order.
  std::string ToBytes() const;
  std::string ToString() const;  // canonical (RFC 5952; IPv4 dotted)

  auto operator<=>(const IpAddress&) const = default;

  template <typename H>
  friend H AbslHashValue(H h, const IpAddress& ip) {
    return H::combine(std::move(h), ip.bytes_);
  }

 private:
  explicit IpAddress(const std::array<uint8_t, 16>& bytes) : bytes_(bytes) {}
  std::array<uint8_t, 16> bytes_{};
};

// A prefix; `length` counts in the family of the address (0..32 or 0..128).
struct IpPrefix {
  IpAddress address;
  uint8_t length = 0;

  static std::optional<IpPrefix> Parse(std::string_view text);  // "10.0.0.0/8" or a bare address
  // That of `ip` with `length` bits; the others are cleared, so that equal ones compare equal.
  static IpPrefix Masked(const IpAddress& ip, uint8_t length);
  bool Contains(const IpAddress& ip) const;  // false across families
  std::string ToString() const;
  auto operator<=>(const IpPrefix&) const = default;
};

struct SocketAddress {
  IpAddress ip;
  uint16_t port = 0;  // host order

  // "1.2.3.4:80" or "[::1]:80".
  static std::optional<SocketAddress> Parse(std::string_view text);
  static std::optional<SocketAddress> FromSockaddr(const sockaddr_storage& storage);
  // For a socket of `family` (AF_INET, or AF_INET6 where IPv4 is sent v4-mapped). Returns the
  // length.
  socklen_t ToSockaddr(sockaddr_storage& out, int family) const;
  int family() const { return ip.IsV4() ? AF_INET : AF_INET6; }
  std::string ToString() const;
  auto operator<=>(const SocketAddress&) const = default;

  template <typename H>
  friend H AbslHashValue(H h, const SocketAddress& a) {
    return H::combine(std::move(h), a.ip, a.port);
  }
};

}  // namespace mesh

template <>
struct std::hash<mesh::IpAddress> {
  size_t operator()(const mesh::IpAddress& ip) const noexcept;
};
