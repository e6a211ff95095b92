#include "ztunnel/core/tls/session.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <cstring>
#include <string>
#include <string_view>
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

namespace {

int SessionIndex() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

}  // namespace

std::vector<identity::Identity> SpiffeIds(X509* certificate) {
  std::vector<identity::Identity> ids;
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  if (names == nullptr) return ids;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type != GEN_URI) continue;
    const ASN1_IA5STRING* uri = name->d.uniformResourceIdentifier;
    const std::string_view text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)),
                                static_cast<size_t>(ASN1_STRING_length(uri)));
    if (auto id = identity::Identity::Parse(text); id.ok()) ids.push_back(*std::move(id));
  }
  GENERAL_NAMES_free(names);
  return ids;
}

Session::Session(identity::CertificateRef certificate, std::vector<identity::Identity> expected,
                 bool server)
    : certificate_(std::move(certificate)), expected_(std::move(expected)), server_(server) {}

Session::~Session() { SSL_free(ssl_); }

absl::StatusOr<std::unique_ptr<Session>> Session::Client(identity::CertificateRef certificate,
                                                         std::vector<identity::Identity> expected) {
  if (expected.empty()) return FailedPrecondition("a TLS client must expect an identity");
  std::unique_ptr<Session> session(new Session(std::move(certificate), std::move(expected), false));
  RETURN_IF_ERROR(session->Init());
  return session;
}

absl::StatusOr<std::unique_ptr<Session>> Session::Server(identity::CertificateRef certificate) {
  std::unique_ptr<Session> session(new Session(std::move(certificate), {}, true));
  RETURN_IF_ERROR(session->Init());
  return session;
}

absl::Status Session::Init() {
  ERR_clear_error();
  ssl_ = SSL_new(server_ ? certificate_->server_context() : certificate_->client_context());
  if (ssl_ == nullptr) return Failure("SSL_new");
  BIO* bio = BIO_new(WireBio::Method());
  if (bio == nullptr) return Failure("BIO_new");
  BIO_set_data(bio, this);
  SSL_set_bio(ssl_, bio, bio);
  SSL_set_ex_data(ssl_, SessionIndex(), this);
  secrets_.Collect(ssl_);
  SSL_set_verify(ssl_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, &Session::Verify);
  if (server_) {
    SSL_set_accept_state(ssl_);
  } else {
    SSL_set_connect_state(ssl_);
  }
  return absl::OkStatus();
}

int Session::Verify(int preverified, X509_STORE_CTX* context) {
  if (preverified != 1 || X509_STORE_CTX_get_error_depth(context) != 0) return preverified;
  auto* ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* session = static_cast<Session*>(SSL_get_ex_data(ssl, SessionIndex()));
  if (session->AcceptPeer(X509_STORE_CTX_get_current_cert(context))) return 1;
  session->identity_mismatch_ = true;
  X509_STORE_CTX_set_error(context, X509_V_ERR_CERT_REJECTED);
  return 0;
}

bool Session::AcceptPeer(X509* leaf) {
  for (identity::Identity& id : SpiffeIds(leaf)) {
    const bool good = server_
                          ? id.trust_domain == certificate_->identity().trust_domain
                          : std::find(expected_.begin(), expected_.end(), id) != expected_.end();
    if (!good) continue;
    peer_ = std::move(id);
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
  if (identity_mismatch_)
    return Unauthenticated("{}: the peer has none of the accepted identities", doing);
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
  SSL_free(std::exchange(ssl_, nullptr));
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
