// Keys of one direction of a TLS 1.3 connection (RFC 8446, sections 7.2 and 7.3): a traffic secret
// makes a key and a nonce's base, and the secret after it.
#pragma once

#include <absl/status/statusor.h>
#include <openssl/evp.h>

#include <array>
#include <cstdint>

#include "ztunnel/core/identity/traffic_secrets.h"

namespace mesh::tls {

enum class Cipher { kAes128Gcm, kAes256Gcm, kChaCha20Poly1305 };

struct CipherSuite {
  Cipher cipher = Cipher::kAes128Gcm;
  const EVP_MD* hash = nullptr;

  size_t key_bytes() const { return cipher == Cipher::kAes128Gcm ? 16 : 32; }
};

// What a connection agreed on; an error for what TLS 1.3 has and we do not speak (CCM).
absl::StatusOr<CipherSuite> SuiteOf(const SSL* ssl);

// Wiped when it dies.
struct RecordKey {
  RecordKey() = default;
  ~RecordKey();
  RecordKey(const RecordKey&) = delete;
  RecordKey& operator=(const RecordKey&) = delete;

  std::array<uint8_t, 32> key{};  // the first key_bytes() of it
  std::array<uint8_t, 12> iv{};
};

absl::Status DeriveKey(const CipherSuite& suite, const identity::TrafficSecret& secret,
                       RecordKey& out);
// Replaces a secret by the next one, for a KeyUpdate.
absl::Status NextSecret(const CipherSuite& suite, identity::TrafficSecret& secret);

}  // namespace mesh::tls
