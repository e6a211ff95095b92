#include "agent/controller/ca/ca_chain.h"

#include <unistd.h>

#include <algorithm>

#include "ztunnel/base/files.h"
#include "ztunnel/base/status.h"

namespace mesh::controller {
namespace {

constexpr char kCert[] = "ca-cert.pem";
constexpr char kChain[] = "cert-chain.pem";
constexpr char kRoot[] = "root-cert.pem";

using StorePtr = std::unique_ptr<X509_STORE, Freer<X509_STORE_free>>;
using StoreContextPtr = std::unique_ptr<X509_STORE_CTX, Freer<X509_STORE_CTX_free>>;

struct FreeStack {
  void operator()(STACK_OF(X509) * stack) const { sk_X509_free(stack); }
};
using BorrowedCerts = std::unique_ptr<STACK_OF(X509), FreeStack>;

absl::StatusOr<std::vector<CertPtr>> ReadCerts(const std::string& directory, const char* file) {
  ASSIGN_OR_RETURN(const std::string pem, ReadFile(directory + "/" + file));
  if (std::string_view(file) == kChain && pem.empty()) return std::vector<CertPtr>();
  const BioPtr bio = ReadBio(pem);
  std::vector<CertPtr> certs;
  while (X509* cert = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    certs.emplace_back(cert);
  }
  const bool at_the_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const std::string error = OpensslError();
  if (certs.empty() || !at_the_end) return Invalid("{} is no PEM certificate: {}", file, error);
  return certs;
}

bool Among(const std::vector<CertPtr>& certs, X509* cert) {
  return std::any_of(certs.begin(), certs.end(),
                     [cert](const CertPtr& one) { return X509_cmp(one.get(), cert) == 0; });
}

absl::Status CheckCaCert(X509* cert) {
  // 1 is basicConstraints CA:TRUE; the other answers are guesses about certificates without it.
  if (X509_check_ca(cert) != 1) return Invalid("{} is no CA certificate", kCert);
  const absl::Time begin = TimeOf(X509_get0_notBefore(cert));
  if (begin > absl::Now()) {
    return FailedPrecondition("{} is not valid before {}", kCert, absl::FormatTime(begin));
  }
  const absl::Time end = TimeOf(X509_get0_notAfter(cert));
  if (end < absl::Now()) return FailedPrecondition("{} ended {}", kCert, absl::FormatTime(end));
  return absl::OkStatus();
}

// The certificate that verification stopped at, by the file that holds it.
absl::Status WhyNot(const CaChain& chain, X509_STORE_CTX* context) {
  const int error = X509_STORE_CTX_get_error(context);
  const char* text = X509_verify_cert_error_string(error);
  switch (error) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return Invalid("{} does not lead to {}, with {} between them: {}", kRoot, kCert, kChain,
                     text);
    default:
      break;
  }
  X509* at = X509_STORE_CTX_get_current_cert(context);
  const char* file = at != nullptr && Among(chain.roots, at)   ? kRoot
                     : at != nullptr && Among(chain.above, at) ? kChain
                                                               : kCert;
  return Invalid("{}: {}", file, text);
}

}  // namespace

std::string CertText(X509* cert) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), cert);
  return TextOf(bio.get());
}

absl::Time TimeOf(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return absl::InfinitePast();
  return absl::FromTM(parts, absl::UTCTimeZone());
}

std::string CaChain::Pem() const {
  if (Among(roots, cert.get())) return "";
  std::string text = CertText(cert.get());
  for (const CertPtr& one : above) text += CertText(one.get());
  return text;
}

absl::StatusOr<CaChain> ReadCaChain(const std::string& directory) {
  CaChain chain;
  ASSIGN_OR_RETURN(std::vector<CertPtr> certs, ReadCerts(directory, kCert));
  chain.cert = std::move(certs.front());
  RETURN_IF_ERROR(CheckCaCert(chain.cert.get()));
  ASSIGN_OR_RETURN(chain.roots, ReadCerts(directory, kRoot));
  chain.not_after = TimeOf(X509_get0_notAfter(chain.cert.get()));
  if (::access((directory + "/" + kChain).c_str(), F_OK) != 0) return chain;  // none between
  ASSIGN_OR_RETURN(certs, ReadCerts(directory, kChain));
  for (CertPtr& one : certs) {
    if (X509_cmp(one.get(), chain.cert.get()) == 0 || Among(chain.roots, one.get())) continue;
    chain.not_after = std::min(chain.not_after, TimeOf(X509_get0_notAfter(one.get())));
    chain.above.push_back(std::move(one));
  }
  return chain;
}

absl::Status VerifyAsPeer(const CaChain& chain, X509* leaf) {
  const StorePtr store(X509_STORE_new());
  // As node proxies do: what stands in root-cert.pem is an anchor, also when another signed it.
  X509_STORE_set_flags(store.get(), X509_V_FLAG_PARTIAL_CHAIN);
  for (const CertPtr& root : chain.roots) X509_STORE_add_cert(store.get(), root.get());
  const BorrowedCerts sent(sk_X509_new_null());
  sk_X509_push(sent.get(), chain.cert.get());
  for (const CertPtr& one : chain.above) sk_X509_push(sent.get(), one.get());
  for (const int purpose : {X509_PURPOSE_SSL_CLIENT, X509_PURPOSE_SSL_SERVER}) {
    const StoreContextPtr context(X509_STORE_CTX_new());
    if (X509_STORE_CTX_init(context.get(), store.get(), leaf, sent.get()) != 1 ||
        X509_STORE_CTX_set_purpose(context.get(), purpose) != 1) {
      return Internal("{}", OpensslError());
    }
    if (X509_verify_cert(context.get()) != 1) {
      const absl::Status why = WhyNot(chain, context.get());
      ERR_clear_error();
      return why;
    }
  }
  return absl::OkStatus();
}

}  // namespace mesh::controller
