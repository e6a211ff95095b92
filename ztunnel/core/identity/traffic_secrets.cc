#include "ztunnel/core/identity/traffic_secrets.h"

#include <openssl/crypto.h>

#include <string_view>

#include "ztunnel/base/log.h"

namespace mesh::identity {
namespace {

int SecretsIndex() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// False, and nothing kept, when `hex` is no secret.
bool FromHex(std::string_view hex, TrafficSecret& secret) {
  if (hex.size() % 2 != 0 || hex.size() / 2 > TrafficSecret::kMaxBytes) return false;
  const std::span<uint8_t> out = secret.Resize(hex.size() / 2);
  for (size_t i = 0; i < out.size(); ++i) {
    const int high = HexDigit(hex[2 * i]), low = HexDigit(hex[2 * i + 1]);
    if (high < 0 || low < 0) {
      secret.Resize(0);
      return false;
    }
    out[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return true;
}

// One line of the key log: "LABEL client_random secret", both in hex. It is the only way in which
// OpenSSL tells the secrets.
void OnKeyLogLine(const SSL* ssl, const char* line) {
  auto* secrets = static_cast<TrafficSecrets*>(SSL_get_ex_data(ssl, SecretsIndex()));
  if (secrets == nullptr) return;
  const std::string_view text(line);
  TrafficSecret* secret = nullptr;
  if (text.starts_with("CLIENT_TRAFFIC_SECRET_0 ")) secret = &secrets->client;
  if (text.starts_with("SERVER_TRAFFIC_SECRET_0 ")) secret = &secrets->server;
  if (secret != nullptr) FromHex(text.substr(text.rfind(' ') + 1), *secret);
}

}  // namespace

TrafficSecret::~TrafficSecret() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }

std::span<uint8_t> TrafficSecret::Resize(size_t size) {
  MESH_CHECK(size <= kMaxBytes, "a traffic secret is a hash's output");
  OPENSSL_cleanse(bytes_.data(), bytes_.size());
  size_ = size;
  return {bytes_.data(), size_};
}

void TrafficSecrets::Collect(SSL* ssl) { SSL_set_ex_data(ssl, SecretsIndex(), this); }

void EnableTrafficSecrets(SSL_CTX* context) { SSL_CTX_set_keylog_callback(context, OnKeyLogLine); }

}  // namespace mesh::identity
