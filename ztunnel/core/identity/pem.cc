#include "ztunnel/core/identity/pem.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <ctime>

#include "ztunnel/base/status.h"

namespace mesh::identity {
namespace {

constexpr size_t kMaxPemBytes = 4 << 20;
constexpr size_t kMaxCertificates = 1000;

using BignumPtr = std::unique_ptr<BIGNUM, OpensslDelete<BN_free>>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, OpensslDelete<GENERAL_NAMES_free>>;

BioPtr ReadFrom(std::string_view text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

absl::StatusOr<absl::Time> ToTime(const ASN1_TIME* time, std::string_view field) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) {
    return OpensslError(fmt::format("certificate's {}", field));
  }
  return absl::FromTimeT(::timegm(&parts));
}

std::string DecimalSerial(const X509& certificate) {
  const BignumPtr number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(&certificate), nullptr));
  char* digits = number ? BN_bn2dec(number.get()) : nullptr;
  std::string text = digits ? digits : "";
  OPENSSL_free(digits);
  return text;
}

// Refuses to ask a person for a pass phrase.
int NoPassphrase(char*, int, int, void*) { return -1; }

}  // namespace

absl::Status OpensslError(std::string_view what) {
  char reason[256] = "no reason given";
  if (const unsigned long code = ERR_peek_last_error(); code != 0) {
    ERR_error_string_n(code, reason, sizeof(reason));
  }
  ERR_clear_error();
  return Invalid("{}: {}", what, reason);
}

absl::StatusOr<std::vector<X509Ptr>> ParseCertificates(std::string_view pem) {
  if (pem.size() > kMaxPemBytes) return Invalid("PEM text of {} bytes is too long", pem.size());
  const BioPtr bio = ReadFrom(pem);
  std::vector<X509Ptr> out;
  while (true) {
    X509Ptr certificate(PEM_read_bio_X509(bio.get(), nullptr, NoPassphrase, nullptr));
    if (!certificate) break;
    if (out.size() == kMaxCertificates) return Invalid("more than {} certificates", out.size());
    out.push_back(std::move(certificate));
  }
  const unsigned long error = ERR_peek_last_error();
  const bool end =
      ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  if (!end) return OpensslError(fmt::format("certificate {} of PEM text", out.size() + 1));
  ERR_clear_error();
  if (out.empty()) return Invalid("PEM text has no certificate");
  return out;
}

absl::StatusOr<EvpKeyPtr> ParsePrivateKey(std::string_view pem) {
  if (pem.size() > kMaxPemBytes) return Invalid("PEM text of {} bytes is too long", pem.size());
  const BioPtr bio = ReadFrom(pem);
  EvpKeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
  if (!key) return OpensslError("private key");
  return key;
}

absl::StatusOr<Validity> ValidityOf(const X509& certificate) {
  Validity validity;
  ASSIGN_OR_RETURN(validity.not_before, ToTime(X509_get0_notBefore(&certificate), "notBefore"));
  ASSIGN_OR_RETURN(validity.not_after, ToTime(X509_get0_notAfter(&certificate), "notAfter"));
  return validity;
}

absl::StatusOr<CertificateInfo> Describe(const X509& certificate) {
  CertificateInfo info;
  ASSIGN_OR_RETURN(const Validity validity, ValidityOf(certificate));
  info.not_before = validity.not_before;
  info.not_after = validity.not_after;
  info.serial_decimal = DecimalSerial(certificate);
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(bio.get(), &certificate) != 1) return OpensslError("certificate as PEM");
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  info.pem.assign(data, static_cast<size_t>(size));
  return info;
}

std::vector<std::string> UriNames(const X509& certificate) {
  std::vector<std::string> out;
  const NamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)));
  ERR_clear_error();
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    const ASN1_IA5STRING* uri = name->d.uniformResourceIdentifier;
    out.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)),
                     static_cast<size_t>(ASN1_STRING_length(uri)));
  }
  return out;
}

}  // namespace mesh::identity
