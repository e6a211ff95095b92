// Authenticated encryption of one direction, as TLS 1.3 uses it: 12-byte nonces that the caller
// never repeats, 16-byte tags behind the text.
//
// Two implementations: OpenSSL's, for every cipher and machine; and Intel's multi-buffer library
// for AES-GCM where it is built in and the CPU has vector AES, which OpenSSL before 3.1 leaves
// unused (docs/adr). Owner: a record layer. Thread: any, one at a time.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "ztunnel/core/tls/record_keys.h"

namespace mesh::tls {

inline constexpr size_t kTagBytes = 16;

class Aead {
 public:
  using Nonce = std::span<const uint8_t, 12>;
  using Bytes = std::span<const uint8_t>;

  virtual ~Aead() = default;
  // Writes `text` and `last` encrypted, then the tag: text.size() + 1 + kTagBytes bytes.
  // `out` does not overlap `text`.
  virtual bool Seal(Nonce nonce, Bytes header, Bytes text, uint8_t last, uint8_t* out) = 0;
  // Writes the text of `sealed` (which ends in the tag) to `out`: sealed.size() - kTagBytes bytes,
  // of no meaning when the answer is false: it is not authentic.
  virtual bool Open(Nonce nonce, Bytes header, Bytes sealed, uint8_t* out) = 0;
};

absl::StatusOr<std::unique_ptr<Aead>> MakeAead(const CipherSuite& suite, const RecordKey& key,
                                               bool sealing);
// OpenSSL's, whatever the machine has.
absl::StatusOr<std::unique_ptr<Aead>> MakeEvpAead(const CipherSuite& suite, const RecordKey& key,
                                                  bool sealing);

// What AES-GCM is done by here: "openssl", or "ipsec-mb" with the CPU's width.
std::string_view AesGcmProvider();

}  // namespace mesh::tls
