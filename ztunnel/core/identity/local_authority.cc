#include "ztunnel/core/identity/local_authority.h"

#include <openssl/bn.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"
#include "ztunnel/core/identity/csr.h"

namespace mesh::identity {
namespace {

using RequestPtr = std::unique_ptr<X509_REQ, OpensslDelete<X509_REQ_free>>;

void SetTimes(X509* certificate, absl::Time from, absl::Time to) {
  ASN1_TIME_set(X509_getm_notBefore(certificate), absl::ToTimeT(from));
  ASN1_TIME_set(X509_getm_notAfter(certificate), absl::ToTimeT(to));
}

void SetRandomSerial(X509* certificate) {
  unsigned char bytes[16];
  RAND_bytes(bytes, sizeof(bytes));
  bytes[0] &= 0x7f;
  BIGNUM* number = BN_bin2bn(bytes, sizeof(bytes), nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
  BN_free(number);
}

void AddExtension(X509* certificate, int nid, const char* value) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

std::string Pem(X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), certificate);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

}  // namespace

LocalAuthority::LocalAuthority() : key_(EVP_EC_gen("P-256")), root_(X509_new()) {
  X509_set_version(root_.get(), X509_VERSION_3);
  SetRandomSerial(root_.get());
  SetTimes(root_.get(), absl::Now() - absl::Hours(24), absl::Now() + absl::Hours(24 * 365));
  X509_NAME_add_entry_by_txt(X509_get_subject_name(root_.get()), "O", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("local authority"), -1, -1, 0);
  X509_set_issuer_name(root_.get(), X509_get_subject_name(root_.get()));
  X509_set_pubkey(root_.get(), key_.get());
  AddExtension(root_.get(), NID_basic_constraints, "critical,CA:TRUE");
  AddExtension(root_.get(), NID_key_usage, "critical,keyCertSign,cRLSign,digitalSignature");
  // So that a test's server can present the root itself.
  AddExtension(root_.get(), NID_subject_alt_name, "DNS:authority.local,IP:127.0.0.1");
  MESH_CHECK(X509_sign(root_.get(), key_.get(), EVP_sha256()) > 0, "sign the root");
  root_pem_ = Pem(root_.get());
}

absl::StatusOr<std::vector<std::string>> LocalAuthority::Sign(const Identity& identity,
                                                              const std::string& csr_pem,
                                                              absl::Duration lifetime) {
  ++calls_;
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  const BioPtr bio(BIO_new_mem_buf(csr_pem.data(), static_cast<int>(csr_pem.size())));
  const RequestPtr request(PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr));
  if (!request || X509_REQ_verify(request.get(), X509_REQ_get0_pubkey(request.get())) != 1) {
    return OpensslError("certificate request");
  }
  const X509Ptr leaf(X509_new());
  X509_set_version(leaf.get(), X509_VERSION_3);
  SetRandomSerial(leaf.get());
  // A second back: verifiers read a coarser clock than we do, which may still be in the second
  // before.
  const absl::Time now = now_.value_or(absl::Now() - absl::Seconds(1));
  SetTimes(leaf.get(), now, now + lifetime);
  X509_set_issuer_name(leaf.get(), X509_get_subject_name(root_.get()));
  X509_set_pubkey(leaf.get(), X509_REQ_get0_pubkey(request.get()));
  AddExtension(leaf.get(), NID_key_usage, "critical,digitalSignature,keyEncipherment");
  AddExtension(leaf.get(), NID_ext_key_usage, "serverAuth,clientAuth");
  const std::string san = "critical,URI:" + lie_.value_or(identity).ToString();
  AddExtension(leaf.get(), NID_subject_alt_name, san.c_str());
  MESH_CHECK(X509_sign(leaf.get(), key_.get(), EVP_sha256()) > 0, "sign a leaf");
  return std::vector<std::string>{Pem(leaf.get()), root_pem_};
}

absl::StatusOr<CertificateRef> LocalAuthority::Issue(const Identity& identity,
                                                     absl::Duration lifetime) {
  ASSIGN_OR_RETURN(KeyAndRequest made, MakeKeyAndRequest(identity));
  ASSIGN_OR_RETURN(auto chain, Sign(identity, made.csr_pem, lifetime));
  return WorkloadCertificate::Create(identity, made.key_pem, chain);
}

std::string LocalAuthority::root_key_pem() const {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PKCS8PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

void LocalAuthority::FailWith(absl::Status status) {
  std::lock_guard lock(mutex_);
  failure_ = std::move(status);
}

void LocalAuthority::IssueFor(const Identity& other) {
  std::lock_guard lock(mutex_);
  lie_ = other;
}

void LocalAuthority::SetNow(absl::Time now) {
  std::lock_guard lock(mutex_);
  now_ = now;
}

}  // namespace mesh::identity
