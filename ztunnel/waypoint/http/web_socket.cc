#include "ztunnel/waypoint/http/web_socket.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <array>

#include "ztunnel/base/log.h"

namespace mesh::http {
namespace {

template <size_t N>
std::string Base64(const std::array<uint8_t, N>& bytes) {
  uint8_t text[(N + 2) / 3 * 4 + 1];
  const int size = EVP_EncodeBlock(text, bytes.data(), static_cast<int>(N));
  return std::string(reinterpret_cast<const char*>(text), static_cast<size_t>(size));
}

}  // namespace

std::string MakeWebSocketKey() {
  std::array<uint8_t, 16> nonce;
  MESH_CHECK(RAND_bytes(nonce.data(), nonce.size()) == 1, "random bytes for a WebSocket");
  return Base64(nonce);
}

std::string WebSocketAccept(std::string_view key) {
  const std::string text = std::string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  std::array<uint8_t, 20> digest;
  MESH_CHECK(EVP_Digest(text.data(), text.size(), digest.data(), nullptr, EVP_sha1(), nullptr) == 1,
             "SHA-1");
  return Base64(digest);
}

}  // namespace mesh::http
