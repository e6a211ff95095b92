// A key with its certificate chain and the roots that came with it, ready for handshakes: parsed
// once, shared by all workers, never changed. The key does not leave memory.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/time.h>
#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <vector>

#include "ztunnel/core/identity/identity.h"

namespace mesh::identity {

struct CertificateInfo {
  std::string pem;
  std::string serial_decimal;
  absl::Time not_before;
  absl::Time not_after;
};

class WorkloadCertificate {
 public:
  // `key_pem` is PKCS#8; `chain_pem` is leaf first, the last element holds the roots (the answer of
  // the signing service). Refused: a leaf whose SAN is not `identity`, a key that does not fit, no
  // root. `key_exchange` as in key_exchange.h; empty: OpenSSL's default.
  static absl::StatusOr<std::shared_ptr<const WorkloadCertificate>> Create(
      const Identity& identity, const std::string& key_pem,
      const std::vector<std::string>& chain_pem, const std::string& key_exchange = "");
  ~WorkloadCertificate();

  const Identity& identity() const { return identity_; }
  absl::Time not_before() const { return chain_.front().not_before; }
  absl::Time not_after() const { return chain_.front().not_after; }
  const std::vector<CertificateInfo>& chain() const { return chain_; }
  const std::vector<CertificateInfo>& roots() const { return roots_; }
  // The same for the same set of roots: it changes when they are rotated.
  const std::string& roots_id() const { return roots_id_; }

  // TLS 1.3 contexts made at creation: mutual, ALPN h2, no tickets, peers verified against roots().
  // SSL_new on them is thread-safe. What else a peer must be is a PeerQuestion's to say.
  SSL_CTX* server_context() const { return server_; }
  SSL_CTX* client_context() const { return client_; }

 private:
  WorkloadCertificate() = default;
  Identity identity_;
  std::vector<CertificateInfo> chain_;
  std::vector<CertificateInfo> roots_;
  std::string roots_id_;
  SSL_CTX* server_ = nullptr;
  SSL_CTX* client_ = nullptr;
};

using CertificateRef = std::shared_ptr<const WorkloadCertificate>;

}  // namespace mesh::identity
