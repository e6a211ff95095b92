#include "ztunnel/core/identity/certificate.h"

#include <cstring>
#include <set>

#include "ztunnel/base/status.h"
#include "ztunnel/core/identity/peer_verifier.h"
#include "ztunnel/core/identity/pem.h"
#include "ztunnel/core/identity/traffic_secrets.h"

namespace mesh::identity {
namespace {

using ContextPtr = std::unique_ptr<SSL_CTX, OpensslDelete<SSL_CTX_free>>;

// AES-128 first: it is what the byte path was measured with, and peers may choose the other.
constexpr char kSuites[] = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384";
constexpr unsigned char kAlpn[] = {2, 'h', '2'};

int SelectAlpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
               unsigned int in_size, void*) {
  for (unsigned int at = 0; at < in_size; at += in[at] + 1u) {
    if (in_size - at < sizeof(kAlpn) || std::memcmp(in + at, kAlpn, sizeof(kAlpn)) != 0) continue;
    *out = in + at + 1;
    *out_size = 2;
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

struct Parsed {
  EvpKeyPtr key;
  std::vector<X509Ptr> chain;  // leaf first
  std::vector<X509Ptr> roots;
};

absl::StatusOr<ContextPtr> MakeContext(const SSL_METHOD* method, const Parsed& parsed,
                                       const std::string& key_exchange) {
  ContextPtr context(SSL_CTX_new(method));
  SSL_CTX* ctx = context.get();
  if (ctx == nullptr || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_ciphersuites(ctx, kSuites) != 1) {
    return OpensslError("TLS context");
  }
  if (!key_exchange.empty() && SSL_CTX_set1_groups_list(ctx, key_exchange.c_str()) != 1) {
    return OpensslError("key exchange");
  }
  // No resumption: a session would carry one pod's identity into another's connection.
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(ctx,
                      SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_num_tickets(ctx, 0);
  SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
  EnableTrafficSecrets(ctx);
  PeerQuestion::Enable(ctx);
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  X509_STORE* store = SSL_CTX_get_cert_store(ctx);
  // The signing service names its anchors; one that is itself signed by another is still an anchor.
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
  for (const X509Ptr& root : parsed.roots) {
    if (X509_STORE_add_cert(store, root.get()) != 1) return OpensslError("root certificate");
  }
  if (SSL_CTX_use_certificate(ctx, parsed.chain.front().get()) != 1 ||
      SSL_CTX_use_PrivateKey(ctx, parsed.key.get()) != 1 || SSL_CTX_check_private_key(ctx) != 1) {
    return OpensslError("certificate and key");
  }
  for (size_t i = 1; i < parsed.chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(ctx, parsed.chain[i].get()) != 1) return OpensslError("chain");
  }
  return context;
}

absl::StatusOr<Parsed> ParseAll(const std::string& key_pem,
                                const std::vector<std::string>& chain_pem) {
  if (chain_pem.size() < 2) {
    return Invalid("the answer has {} elements: want a leaf, intermediates, roots",
                   chain_pem.size());
  }
  Parsed out;
  ASSIGN_OR_RETURN(out.key, ParsePrivateKey(key_pem));
  for (size_t i = 0; i < chain_pem.size(); ++i) {
    const bool roots = i + 1 == chain_pem.size();
    auto certificates = ParseCertificates(chain_pem[i]);
    if (!certificates.ok()) {
      return WithContext(certificates.status(), fmt::format("element {} of the chain", i));
    }
    for (X509Ptr& c : *certificates) (roots ? out.roots : out.chain).push_back(std::move(c));
  }
  if (X509_check_private_key(out.chain.front().get(), out.key.get()) != 1) {
    return OpensslError("leaf does not belong to the key");
  }
  return out;
}

// A digest of the set, in whatever order it came.
std::string IdOf(const std::vector<CertificateInfo>& roots) {
  std::set<std::string_view> set;
  for (const CertificateInfo& root : roots) set.insert(root.pem);
  std::string all;
  for (const std::string_view pem : set) all += pem;
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_Digest(all.data(), all.size(), digest, &size, EVP_sha256(), nullptr);
  return std::string(reinterpret_cast<const char*>(digest), size);
}

absl::Status CheckIdentity(const X509& leaf, const Identity& identity) {
  const std::vector<std::string> names = UriNames(leaf);
  const std::string want = identity.ToString();
  if (names.size() == 1 && names.front() == want) return absl::OkStatus();
  return Unauthenticated("leaf is for [{}], not for {}", fmt::join(names, ", "), want);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const WorkloadCertificate>> WorkloadCertificate::Create(
    const Identity& identity, const std::string& key_pem, const std::vector<std::string>& chain_pem,
    const std::string& key_exchange) {
  const std::string what = "certificate of " + identity.ToString();
  auto parsed = ParseAll(key_pem, chain_pem);
  if (!parsed.ok()) return WithContext(parsed.status(), what);
  if (absl::Status s = CheckIdentity(*parsed->chain.front(), identity); !s.ok()) {
    return WithContext(s, what);
  }
  std::shared_ptr<WorkloadCertificate> made(new WorkloadCertificate());
  made->identity_ = identity;
  for (const X509Ptr& c : parsed->chain) {
    ASSIGN_OR_RETURN(made->chain_.emplace_back(), Describe(*c));
  }
  for (const X509Ptr& c : parsed->roots) {
    ASSIGN_OR_RETURN(made->roots_.emplace_back(), Describe(*c));
  }
  made->roots_id_ = IdOf(made->roots_);
  auto server = MakeContext(TLS_server_method(), *parsed, key_exchange);
  if (!server.ok()) return WithContext(server.status(), what);
  SSL_CTX_set_alpn_select_cb(server->get(), SelectAlpn, nullptr);
  auto client = MakeContext(TLS_client_method(), *parsed, key_exchange);
  if (!client.ok()) return WithContext(client.status(), what);
  SSL_CTX_set_alpn_protos(client->get(), kAlpn, sizeof(kAlpn));  // 0 is success here
  made->server_ = server->release();
  made->client_ = client->release();
  return std::shared_ptr<const WorkloadCertificate>(std::move(made));
}

WorkloadCertificate::~WorkloadCertificate() {
  SSL_CTX_free(server_);
  SSL_CTX_free(client_);
}

}  // namespace mesh::identity
