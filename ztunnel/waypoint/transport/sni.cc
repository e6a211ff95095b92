#include "ztunnel/waypoint/transport/sni.h"

#include <absl/strings/ascii.h>

#include <cstdint>
#include <optional>

namespace mesh::transport {
namespace {

constexpr uint8_t kHandshake = 22, kClientHello = 1, kHostName = 0;
constexpr uint16_t kServerName = 0;

// Takes bytes from the front; what is not there makes all that follows empty.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  uint32_t Number(size_t size) {
    uint32_t value = 0;
    for (const std::byte b : Bytes(size)) value = value << 8 | static_cast<uint8_t>(b);
    return value;
  }
  std::span<const std::byte> Bytes(size_t size) {
    if (size > bytes_.size()) {
      bytes_ = {};
      return {};
    }
    const auto taken = bytes_.first(size);
    bytes_ = bytes_.subspan(size);
    return taken;
  }
  // A vector with its length in `width` bytes before it.
  Reader Vector(size_t width) { return Reader(Bytes(Number(width))); }
  bool empty() const { return bytes_.empty(); }
  std::string Text() const {
    return std::string(reinterpret_cast<const char*>(bytes_.data()), bytes_.size());
  }

 private:
  std::span<const std::byte> bytes_;
};

std::string NameIn(Reader extension) {
  Reader names = extension.Vector(2);
  while (!names.empty()) {
    const uint32_t type = names.Number(1);
    const Reader name = names.Vector(2);
    if (type == kHostName) return name.Text();
  }
  return {};
}

}  // namespace

std::string SniOf(std::span<const std::byte> first) {
  Reader record(first);
  if (record.Number(1) != kHandshake) return {};
  record.Bytes(2);  // version
  Reader handshake = record.Vector(2);
  if (handshake.Number(1) != kClientHello) return {};
  Reader hello = handshake.Vector(3);
  hello.Bytes(2 + 32);  // version, random
  hello.Vector(1);      // session
  hello.Vector(2);      // cipher suites
  hello.Vector(1);      // compression methods
  Reader extensions = hello.Vector(2);
  while (!extensions.empty()) {
    const uint32_t type = extensions.Number(2);
    Reader body = extensions.Vector(2);
    if (type != kServerName) continue;
    std::string name = NameIn(body);
    absl::AsciiStrToLower(&name);
    return name;
  }
  return {};
}

}  // namespace mesh::transport
