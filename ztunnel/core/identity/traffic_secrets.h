// The secrets that TLS 1.3 derives for a connection's application data (RFC 8446, section 7.1).
//
// A context made by core/identity gives them to the object that Collect named for a connection; for
// any other connection they go nowhere. Wiped when the object dies; never logged. Thread: the
// connection's.
#pragma once

#include <openssl/ssl.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace mesh::identity {

class TrafficSecret {
 public:
  static constexpr size_t kMaxBytes = 48;  // of SHA-384

  TrafficSecret() = default;
  ~TrafficSecret();
  TrafficSecret(const TrafficSecret&) = default;
  TrafficSecret& operator=(const TrafficSecret&) = default;

  std::span<const uint8_t> bytes() const { return {bytes_.data(), size_}; }
  bool empty() const { return size_ == 0; }
  // kMaxBytes at most.
  std::span<uint8_t> Resize(size_t size);

 private:
  std::array<uint8_t, kMaxBytes> bytes_{};
  size_t size_ = 0;
};

struct TrafficSecrets {
  TrafficSecret client;
  TrafficSecret server;

  // Takes this connection's secrets from now on; `this` outlives `ssl`.
  void Collect(SSL* ssl);
};

// For the context's maker.
void EnableTrafficSecrets(SSL_CTX* context);

}  // namespace mesh::identity
