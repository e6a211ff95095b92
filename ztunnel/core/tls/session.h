// TLS 1.3 between mesh identities as a state machine without I/O: encrypted bytes in, plain bytes
// out, and the other way round.
//
// Owner: one connection; thread: its loop. The certificate is kept alive for as long as the
// session, the verifier outlives the handshake. Both sides prove an identity: a client accepts
// exactly the identities it expects, a server any SPIFFE identity of its own trust domain. A peer
// that fails gets an alert; the error here is kUnauthenticated, and refusal() says of which kind it
// is. OpenSSL does the handshake and is gone after it; the records after it are the record
// layer's.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <openssl/ssl.h>

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "ztunnel/core/identity/certificate.h"
#include "ztunnel/core/identity/peer_verifier.h"
#include "ztunnel/core/identity/traffic_secrets.h"
#include "ztunnel/core/net/buffer.h"
#include "ztunnel/core/tls/record_layer.h"

namespace mesh::tls {

class Session {
 public:
  // `expected` must not be empty.
  static absl::StatusOr<std::unique_ptr<Session>> Client(identity::CertificateRef certificate,
                                                         std::vector<identity::Identity> expected,
                                                         identity::PeerVerifier& verifier);
  static absl::StatusOr<std::unique_ptr<Session>> Server(identity::CertificateRef certificate,
                                                         identity::PeerVerifier& verifier);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // A client's first flight; a server has none.
  absl::Status Start(net::Buffer& wire_out);
  // Takes all of `wire`. Appends to `plain` what was decrypted and to `wire_out` what the peer must
  // get (handshake, alerts; also on error: send it, then close). After an error the session is
  // dead.
  absl::Status Open(std::span<const std::byte> wire, net::Buffer& plain, net::Buffer& wire_out);
  // Encrypts all of `plain` in records of 16 KiB. Only after the handshake.
  absl::Status Seal(std::span<const std::byte> plain, net::Buffer& wire_out);
  // Appends close_notify.
  void Close(net::Buffer& wire_out);

  bool established() const { return records_ != nullptr; }
  bool peer_closed() const { return established() && records_->peer_closed(); }  // close_notify
  enum class Refusal { kOther, kIdentity, kRevoked };
  Refusal refusal() const { return refusal_; }
  // The peer's proven identity, once established.
  const std::optional<identity::Identity>& peer() const { return peer_; }
  const identity::PeerRef& peer_chain() const { return peer_chain_; }

 private:
  Session(identity::CertificateRef certificate, std::vector<identity::Identity> expected,
          bool server);
  absl::Status Init(identity::PeerVerifier& verifier);
  absl::Status Handshake();
  absl::Status FinishHandshake();
  absl::Status Failure(const char* doing);
  bool Accept(const identity::Peer& peer);

  friend struct WireBio;
  identity::CertificateRef certificate_;
  std::vector<identity::Identity> expected_;
  const bool server_;
  identity::TrafficSecrets secrets_;
  std::unique_ptr<identity::PeerQuestion> question_;
  SSL* ssl_ = nullptr;  // until the handshake ended, as the two above
  std::unique_ptr<RecordLayer> records_;
  std::span<const std::byte> wire_in_;
  net::Buffer* wire_out_ = nullptr;
  std::optional<identity::Identity> peer_;
  identity::PeerRef peer_chain_;
  Refusal refusal_ = Refusal::kOther;
};

}  // namespace mesh::tls
