#include "ztunnel/core/identity/revocation.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include "ztunnel/base/status.h"

namespace mesh::identity {
namespace {

constexpr size_t kMaxSignatures = 4096;  // remembered; then the oldest are asked again
constexpr std::string_view kPemStart = "-----BEGIN";

std::string SerialOf(X509& certificate) {
  const auto info = Describe(certificate);
  return info.ok() ? info->serial_decimal : "unknown";
}

}  // namespace

absl::StatusOr<RevocationListsRef> RevocationLists::Parse(std::string_view text) {
  if (text.empty()) return Invalid("no revocation list: empty");
  if (text.size() > kMaxBytes) return Invalid("{} bytes are too long", text.size());
  std::shared_ptr<RevocationLists> made(new RevocationLists());
  const BioPtr bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  ERR_clear_error();
  if (text.find(kPemStart) == std::string_view::npos) {
    CrlPtr list(d2i_X509_CRL_bio(bio.get(), nullptr));
    if (!list) return OpensslError("no revocation list");
    made->lists_.push_back(std::move(list));
  } else {
    while (CrlPtr list{PEM_read_bio_X509_CRL(bio.get(), nullptr, nullptr, nullptr)}) {
      if (made->lists_.size() == kMaxLists) return Invalid("more than {} lists", kMaxLists);
      made->lists_.push_back(std::move(list));
    }
    const unsigned long error = ERR_peek_last_error();
    const bool end =
        ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
    if (!end) return OpensslError(fmt::format("revocation list {}", made->lists_.size() + 1));
    ERR_clear_error();
    if (made->lists_.empty()) return Invalid("PEM text without a revocation list");
  }
  for (const CrlPtr& list : made->lists_) {
    const int n = sk_X509_REVOKED_num(X509_CRL_get_REVOKED(list.get()));
    if (n > 0) made->revoked_ += static_cast<size_t>(n);
  }
  return RevocationListsRef(std::move(made));
}

RevocationLists::Verdict RevocationLists::Check(std::span<const X509Ptr> chain) const {
  Verdict verdict;
  verdict.covered = chain.size() > 1;
  for (size_t i = 0; i + 1 < chain.size(); ++i) {
    bool covered = false;
    for (size_t list = 0; list < lists_.size(); ++list) {
      X509_CRL* crl = lists_[list].get();
      if (X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_issuer_name(chain[i].get())) != 0 ||
          !IsFrom(list, *chain[i + 1])) {
        continue;
      }
      covered = true;
      X509_REVOKED* entry = nullptr;
      // 2: a delta list that takes the revocation back.
      if (X509_CRL_get0_by_cert(crl, &entry, chain[i].get()) == 1) {
        verdict.revoked = SerialOf(*chain[i]);
        return verdict;
      }
    }
    verdict.covered = verdict.covered && covered;
  }
  return verdict;
}

bool RevocationLists::IsFrom(size_t list, X509& issuer) const {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (X509_pubkey_digest(&issuer, EVP_sha256(), digest, &size) != 1) return false;
  std::string key = std::to_string(list) + ":";
  key.append(reinterpret_cast<const char*>(digest), size);
  const std::lock_guard lock(mutex_);
  if (const auto it = signed_by_.find(key); it != signed_by_.end()) return it->second;
  const bool good = X509_CRL_verify(lists_[list].get(), X509_get0_pubkey(&issuer)) == 1;
  ERR_clear_error();
  if (signed_by_.size() >= kMaxSignatures) signed_by_.clear();
  signed_by_.emplace(std::move(key), good);
  return good;
}

}  // namespace mesh::identity
