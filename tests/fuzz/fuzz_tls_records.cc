// Records of a tunnel's peer after the handshake. The first byte says what follows: raw bytes, of
// which nothing may ever be taken for authentic; or the contents of records (each behind its
// length), which are sealed as a peer with the keys would.
#include <string>
#include <string_view>

#include "ztunnel/core/tls/record_for_test.h"

using mesh::identity::TrafficSecret;
using namespace mesh::tls;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const CipherSuite suite{Cipher::kAes128Gcm, EVP_sha256()};
  TrafficSecret theirs = SecretForTest(1);
  auto layer = RecordLayer::Create(suite, {theirs, SecretForTest(2)});
  if (!layer.ok()) __builtin_trap();
  mesh::net::Buffer plain, answer;
  const auto take = [&](std::string_view wire) {
    return (*layer)->Open(std::as_bytes(std::span(wire)), plain, answer).ok();
  };

  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == 0) {
    const size_t half = rest.size() / 2;
    if (take(rest.substr(0, half))) take(rest.substr(half));
    if (!plain.empty()) __builtin_trap();
    return 0;
  }
  for (uint64_t sequence = 0; rest.size() > 1; ++sequence) {
    const size_t length = std::min<size_t>(static_cast<uint8_t>(rest[0]) + 1, rest.size() - 1);
    const std::string_view inner = rest.substr(1, length);
    if (!take(SealedRecordForTest(suite, theirs, sequence, inner))) break;
    // A KeyUpdate that was taken changes the key of what follows.
    if (inner.size() == 6 && inner[0] == 0x18 && inner[5] == 0x16) {
      if (!NextSecret(suite, theirs).ok()) __builtin_trap();
      sequence = ~uint64_t{0};
    }
    rest.remove_prefix(1 + length);
  }
  if (plain.size() > size) __builtin_trap();
  return 0;
}
