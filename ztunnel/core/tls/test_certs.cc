#include "ztunnel/core/tls/test_certs.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "ztunnel/base/log.h"

namespace mesh::tls {
namespace {

std::string Text(BIO* bio) {
  char* data = nullptr;
  const long length = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<size_t>(length));
  BIO_free(bio);
  return text;
}

std::string CertificatePem(X509* certificate) {
  BIO* bio = BIO_new(BIO_s_mem());
  MESH_CHECK(PEM_write_bio_X509(bio, certificate) == 1, "write certificate");
  return Text(bio);
}

void Extend(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  MESH_CHECK(extension != nullptr, "certificate extension");
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

X509* Make(EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key, const std::string& uri) {
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  uint8_t serial[16];
  RAND_bytes(serial, sizeof serial);
  serial[0] &= 0x7f;
  BIGNUM* number = BN_bin2bn(serial, sizeof serial, nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
  BN_free(number);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* name = X509_NAME_new();
  X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, reinterpret_cast<const uint8_t*>("mesh test"), -1,
                             -1, 0);
  X509_set_issuer_name(certificate, name);
  const bool root = issuer == nullptr;
  if (root) X509_set_subject_name(certificate, name);
  X509_NAME_free(name);
  X509* signer = root ? certificate : issuer;
  if (root) {
    Extend(certificate, signer, NID_basic_constraints, "critical,CA:TRUE");
    Extend(certificate, signer, NID_key_usage, "critical,keyCertSign,cRLSign");
    Extend(certificate, signer, NID_subject_key_identifier, "hash");
  } else {
    Extend(certificate, signer, NID_key_usage, "critical,digitalSignature,keyEncipherment");
    Extend(certificate, signer, NID_ext_key_usage, "serverAuth,clientAuth");
    Extend(certificate, signer, NID_basic_constraints, "critical,CA:FALSE");
    if (!uri.empty()) Extend(certificate, signer, NID_subject_alt_name, "critical,URI:" + uri);
  }
  MESH_CHECK(X509_sign(certificate, issuer_key, EVP_sha256()) > 0, "sign certificate");
  return certificate;
}

}  // namespace

TestCa::TestCa() : key_(EVP_EC_gen("P-256")) { root_ = Make(key_, nullptr, key_, ""); }

TestCa::~TestCa() {
  X509_free(root_);
  EVP_PKEY_free(key_);
}

std::string TestCa::root_pem() const { return CertificatePem(root_); }

std::string TestCa::Sign(EVP_PKEY* key, const std::string& uri) const {
  X509* certificate = Make(key, root_, key_, uri);
  std::string pem = CertificatePem(certificate);
  X509_free(certificate);
  return pem;
}

TestCa::Issued TestCa::Issue(const std::string& uri) const {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PKCS8PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  Issued issued{Text(bio), {Sign(key, uri), root_pem()}};
  EVP_PKEY_free(key);
  return issued;
}

identity::CertificateRef TestCa::Certificate(const identity::Identity& id) const {
  const Issued issued = Issue(id.ToString());
  auto certificate = identity::WorkloadCertificate::Create(id, issued.key_pem, issued.chain_pem);
  if (!certificate.ok()) Fatal(certificate.status().ToString());
  return *std::move(certificate);
}

std::vector<std::string> TestCa::SignCsr(const std::string& csr_pem, const std::string& uri) const {
  BIO* bio = BIO_new_mem_buf(csr_pem.data(), static_cast<int>(csr_pem.size()));
  X509_REQ* request = PEM_read_bio_X509_REQ(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  MESH_CHECK(request != nullptr, "read request");
  EVP_PKEY* key = X509_REQ_get_pubkey(request);
  std::vector<std::string> chain = {Sign(key, uri), root_pem()};
  EVP_PKEY_free(key);
  X509_REQ_free(request);
  return chain;
}

}  // namespace mesh::tls
