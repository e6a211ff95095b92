#include "ztunnel/core/identity/csr.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "ztunnel/base/status.h"
#include "ztunnel/core/identity/pem.h"

namespace mesh::identity {
namespace {

using RequestPtr = std::unique_ptr<X509_REQ, OpensslDelete<X509_REQ_free>>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, OpensslDelete<GENERAL_NAMES_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, OpensslDelete<X509_EXTENSION_free>>;

// Built by hand: the text form of OpenSSL's configuration would read commas of a name as syntax.
ExtensionPtr UriExtension(const std::string& uri) {
  NamesPtr names(GENERAL_NAMES_new());
  GENERAL_NAME* name = GENERAL_NAME_new();
  ASN1_IA5STRING* text = ASN1_IA5STRING_new();
  ASN1_STRING_set(text, uri.data(), static_cast<int>(uri.size()));
  GENERAL_NAME_set0_value(name, GEN_URI, text);
  sk_GENERAL_NAME_push(names.get(), name);
  return ExtensionPtr(X509V3_EXT_i2d(NID_subject_alt_name, /*crit=*/1, names.get()));
}

std::string Text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

absl::Status Sign(X509_REQ* request, const Identity& identity, EVP_PKEY* key) {
  const ExtensionPtr san = UriExtension(identity.ToString());
  if (!san) return OpensslError("subject alternative name");
  STACK_OF(X509_EXTENSION)* extensions = sk_X509_EXTENSION_new_null();
  sk_X509_EXTENSION_push(extensions, san.get());
  const bool added = X509_REQ_add_extensions(request, extensions) == 1;
  sk_X509_EXTENSION_free(extensions);
  if (!added || X509_REQ_set_version(request, 0) != 1 || X509_REQ_set_pubkey(request, key) != 1 ||
      X509_REQ_sign(request, key, EVP_sha256()) <= 0) {
    return OpensslError("certificate request");
  }
  return absl::OkStatus();
}

}  // namespace

KeyAndRequest::~KeyAndRequest() { OPENSSL_cleanse(key_pem.data(), key_pem.size()); }

absl::StatusOr<KeyAndRequest> MakeKeyAndRequest(const Identity& identity) {
  const EvpKeyPtr key(EVP_EC_gen("P-256"));
  if (!key) return OpensslError("P-256 key");
  const RequestPtr request(X509_REQ_new());
  RETURN_IF_ERROR(Sign(request.get(), identity, key.get()));
  KeyAndRequest out;
  const BioPtr csr(BIO_new(BIO_s_mem()));
  const BioPtr secret(BIO_new(BIO_s_secmem()));
  if (PEM_write_bio_X509_REQ(csr.get(), request.get()) != 1 ||
      PEM_write_bio_PKCS8PrivateKey(secret.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                    nullptr) != 1) {
    return OpensslError("PEM text of a request");
  }
  out.csr_pem = Text(csr.get());
  out.key_pem = Text(secret.get());
  return out;
}

}  // namespace mesh::identity
