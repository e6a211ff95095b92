#include "ztunnel/core/tls/session.h"

#include <openssl/err.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::tls {

// OpenSSL's view of the wire: reads come from the caller's span, writes are gathered in the
// caller's buffer, so that all records of a turn leave in one send.
struct WireBio {
  static int Write(BIO* bio, const char* data, size_t length, size_t* written) {
    auto* session = static_cast<Session*>(BIO_get_data(bio));
    if (session->wire_out_ == nullptr) return 0;
    session->wire_out_->Append(std::as_bytes(std::span(data, length)));
    *written = length;
    return 1;
  }
  static int Read(BIO* bio, char* out, size_t length, size_t* read) {
    auto* session = static_cast<Session*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    std::span<const std::byte>& in = session->wire_in_;
    if (in.empty()) {
      BIO_set_retry_read(bio);
      *read = 0;
      return 0;
    }
    const size_t n = std::min(length, in.size());
    std::memcpy(out, in.data(), n);
    in = in.subspan(n);
    *read = n;
    return 1;
  }
  static long Control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }
  static int Create(BIO* bio) {
    BIO_set_init(bio, 1);
    return 1;
  }

  static const BIO_METHOD* Method() {
    static const BIO_METHOD* const method = [] {
      BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "mesh wire");
      MESH_CHECK(m != nullptr, "BIO_meth_new");
      BIO_meth_set_write_ex(m, Write);
      BIO_meth_set_read_ex(m, Read);
      BIO_meth_set_ctrl(m, Control);
      BIO_meth_set_create(m, Create);
      return m;
    }();
    return method;
  }
};

Session::Session(identity::CertificateRef certificate, std::vector<identity::Identity> expected,
                 bool server)
    : certificate_(std::move(certificate)), expected_(std::move(expected)), server_(server) {}

Session::~Session() { SSL_free(ssl_); }

absl::StatusOr<std::unique_ptr<Session>> Session::Client(identity::CertificateRef certificate,
                                                         std::vector<identity::Identity> expected,
                                                         identity::PeerVerifier& verifier) {
  if (expected.empty()) return FailedPrecondition("a TLS client must expect an identity");
  std::unique_ptr<Session> session(new Session(std::move(certificate), std::move(expected), false));
  RETURN_IF_ERROR(session->Init(verifier));
  return session;
}

absl::StatusOr<std::unique_ptr<Session>> Session::Server(identity::CertificateRef certificate,
                                                         identity::PeerVerifier& verifier) {
  std::unique_ptr<Session> session(new Session(std::move(certificate), {}, true));
  RETURN_IF_ERROR(session->Init(verifier));
  return session;
}

absl::Status Session::Init(identity::PeerVerifier& verifier) {
  ERR_clear_error();
  ssl_ = SSL_new(server_ ? certificate_->server_context() : certificate_->client_context());
  if (ssl_ == nullptr) return Failure("SSL_new");
  BIO* bio = BIO_new(WireBio::Method());
  if (bio == nullptr) return Failure("BIO_new");
  BIO_set_data(bio, this);
  SSL_set_bio(ssl_, bio, bio);
  secrets_.Collect(ssl_);
  question_ = std::make_unique<identity::PeerQuestion>(
      verifier, certificate_->roots_id(), server_,
      [this](const identity::Peer& peer) { return Accept(peer); });
  question_->Attach(ssl_);
  if (server_) {
    SSL_set_accept_state(ssl_);
  } else {
    SSL_set_connect_state(ssl_);
  }
  return absl::OkStatus();
}

bool Session::Accept(const identity::Peer& peer) {
  for (const identity::Identity& id : peer.ids) {
    const bool good = server_
                          ? id.trust_domain == certificate_->identity().trust_domain
                          : std::find(expected_.begin(), expected_.end(), id) != expected_.end();
    if (!good) continue;
    peer_ = id;
    return true;
  }
  return false;
}

absl::Status Session::Failure(const char* doing) {
  std::string text;
  while (const unsigned long code = ERR_get_error()) {
    char buffer[160];
    ERR_error_string_n(code, buffer, sizeof buffer);
    if (!text.empty()) text += "; ";
    text += buffer;
  }
  if (question_ != nullptr && question_->not_accepted()) {
    refusal_ = Refusal::kIdentity;
    return Unauthenticated("{}: the peer has none of the accepted identities", doing);
  }
  if (question_ != nullptr && !question_->why().empty()) {
    if (question_->revoked()) refusal_ = Refusal::kRevoked;
    return Unauthenticated("{}: the peer's chain is refused: {}", doing, question_->why());
  }
  if (text.empty()) text = "connection ended";
  return Unauthenticated("{}: {}", doing, text);
}

absl::Status Session::Handshake() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_);
  if (result == 1) return FinishHandshake();
  if (SSL_get_error(ssl_, result) == SSL_ERROR_WANT_READ) return absl::OkStatus();
  return Failure("TLS handshake");
}

// A TLS 1.3 client is done here before the server has judged its certificate; a refusal comes as an
// alert with the first record.
absl::Status Session::FinishHandshake() {
  if (!peer_) return Unauthenticated("TLS handshake: the peer sent no certificate");
  // The BIO gives no byte that OpenSSL does not ask for, so what is behind the handshake is still
  // in wire_in_.
  if (SSL_has_pending(ssl_)) return Unauthenticated("TLS handshake: data inside its last record");
  ASSIGN_OR_RETURN(const CipherSuite suite, SuiteOf(ssl_));
  RecordLayer::Secrets secrets{server_ ? secrets_.client : secrets_.server,
                               server_ ? secrets_.server : secrets_.client};
  ASSIGN_OR_RETURN(records_, RecordLayer::Create(suite, secrets));
  secrets_ = {};
  if (!question_->StillGood()) return Failure("TLS handshake");
  peer_chain_ = question_->peer();
  SSL_free(std::exchange(ssl_, nullptr));
  question_.reset();
  return absl::OkStatus();
}

absl::Status Session::Start(net::Buffer& wire_out) {
  if (server_) return absl::OkStatus();
  wire_out_ = &wire_out;
  absl::Status status = Handshake();
  wire_out_ = nullptr;
  return status;
}

absl::Status Session::Open(std::span<const std::byte> wire, net::Buffer& plain,
                           net::Buffer& wire_out) {
  if (!established()) {
    wire_in_ = wire;
    wire_out_ = &wire_out;
    const absl::Status status = Handshake();
    wire = std::exchange(wire_in_, {});
    wire_out_ = nullptr;
    if (!status.ok() || !established()) return status;
  }
  return records_->Open(wire, plain, wire_out);
}

absl::Status Session::Seal(std::span<const std::byte> plain, net::Buffer& wire_out) {
  if (plain.empty()) return absl::OkStatus();
  if (!established()) return FailedPrecondition("TLS seal before the handshake ended");
  return records_->Seal(plain, wire_out);
}

void Session::Close(net::Buffer& wire_out) {
  if (established()) records_->Close(wire_out);
}

}  // namespace mesh::tls
