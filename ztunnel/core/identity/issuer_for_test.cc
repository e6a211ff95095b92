#include "ztunnel/core/identity/issuer_for_test.h"

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "ztunnel/base/log.h"

namespace mesh::identity {
namespace {

using CrlPtr = std::unique_ptr<X509_CRL, OpensslDelete<X509_CRL_free>>;
using TimePtr = std::unique_ptr<ASN1_TIME, OpensslDelete<ASN1_TIME_free>>;

std::string TextOf(const BioPtr& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

void Extend(X509* certificate, int nid, const std::string& value) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
  MESH_CHECK(extension != nullptr, "an extension for the test");
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

TimePtr TimeOf(absl::Time time) { return TimePtr(ASN1_TIME_set(nullptr, absl::ToTimeT(time))); }

std::string KeyPem(EVP_PKEY* key) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  return TextOf(bio);
}

}  // namespace

std::string PemOf(const X509& certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), &certificate);
  return TextOf(bio);
}

IssuerForTest::IssuerForTest() : key_(EVP_EC_gen("P-256")) {
  certificate_ =
      Make(key_.get(), "root", absl::Now() - absl::Hours(48), absl::Now() + absl::Hours(48));
  Extend(certificate_.get(), NID_basic_constraints, "critical,CA:TRUE");
  MESH_CHECK(X509_sign(certificate_.get(), key_.get(), EVP_sha256()) > 0, "a root for the test");
}

IssuerForTest::IssuerForTest(const std::string& certificate_pem, const std::string& key_pem)
    : key_(*ParsePrivateKey(key_pem)),
      certificate_(std::move(ParseCertificates(certificate_pem)->front())) {}

IssuerForTest IssuerForTest::Intermediate() {
  IssuerForTest made;
  made.certificate_ = Make(made.key_.get(), "intermediate", absl::Now() - absl::Hours(24),
                           absl::Now() + absl::Hours(24));
  Extend(made.certificate_.get(), NID_basic_constraints, "critical,CA:TRUE");
  MESH_CHECK(X509_sign(made.certificate_.get(), key_.get(), EVP_sha256()) > 0, "an intermediate");
  return made;
}

X509Ptr IssuerForTest::Make(EVP_PKEY* key, const char* name, absl::Time from, absl::Time to) {
  X509Ptr made(X509_new());
  X509_set_version(made.get(), X509_VERSION_3);
  uint64_t serial = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof(serial));
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(made.get()), serial >> 1);
  X509_set1_notBefore(made.get(), TimeOf(from).get());
  X509_set1_notAfter(made.get(), TimeOf(to).get());
  if (*name != '\0') {
    X509_NAME_add_entry_by_txt(X509_get_subject_name(made.get()), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
  }
  const X509* issuer = certificate_ == nullptr ? made.get() : certificate_.get();
  X509_set_issuer_name(made.get(), X509_get_subject_name(issuer));
  X509_set_pubkey(made.get(), key);
  return made;
}

X509Ptr IssuerForTest::Issue(EVP_PKEY* key, const Leaf& leaf) {
  X509Ptr made = Make(key, "", leaf.not_before, leaf.not_after);
  Extend(made.get(), NID_key_usage, "critical,digitalSignature");
  Extend(made.get(), NID_ext_key_usage, leaf.usage);
  std::string names;
  for (const std::string& name : leaf.names) names += (names.empty() ? "" : ",") + name;
  if (!names.empty()) Extend(made.get(), NID_subject_alt_name, names);
  MESH_CHECK(X509_sign(made.get(), key_.get(), EVP_sha256()) > 0, "a leaf for the test");
  return made;
}

std::string IssuerForTest::Crl(const std::vector<X509*>& revoked, absl::Time next_update) const {
  const CrlPtr crl(X509_CRL_new());
  X509_CRL_set_version(crl.get(), X509_CRL_VERSION_2);
  X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(certificate_.get()));
  X509_CRL_set1_lastUpdate(crl.get(), TimeOf(next_update - absl::Hours(1)).get());
  X509_CRL_set1_nextUpdate(crl.get(), TimeOf(next_update).get());
  for (X509* certificate : revoked) {
    X509_REVOKED* entry = X509_REVOKED_new();
    X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(certificate));
    X509_REVOKED_set_revocationDate(entry, TimeOf(absl::Now()).get());
    X509_CRL_add0_revoked(crl.get(), entry);
  }
  MESH_CHECK(X509_CRL_sign(crl.get(), key_.get(), EVP_sha256()) > 0, "a list for the test");
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509_CRL(bio.get(), crl.get());
  return TextOf(bio);
}

std::string IssuerForTest::pem() const { return PemOf(*certificate_); }

CertificateRef IssuerForTest::Certificate(const Identity& identity, const IssuerForTest& root) {
  const EvpKeyPtr key(EVP_EC_gen("P-256"));
  std::vector<std::string> chain = {
      PemOf(*Issue(key.get(), {.names = {"URI:" + identity.ToString()}}))};
  if (&root != this) chain.push_back(pem());
  chain.push_back(root.pem());
  auto made = WorkloadCertificate::Create(identity, KeyPem(key.get()), chain);
  MESH_CHECK(made.ok(), "a certificate for the test");
  return *made;
}

CertificateRef IssuerForTest::Presenting(const Identity& identity, const Leaf& leaf) {
  const CertificateRef made = Certificate(identity);
  for (SSL_CTX* context : {made->client_context(), made->server_context()}) {
    const X509Ptr shown = Issue(SSL_CTX_get0_privatekey(context), leaf);
    MESH_CHECK(SSL_CTX_use_certificate(context, shown.get()) == 1, "another leaf for the test");
  }
  return made;
}

}  // namespace mesh::identity
