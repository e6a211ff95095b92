// X.509 certificates as they arrive: PEM text in, owned OpenSSL objects and plain facts out.
//
// Stateless and thread-safe. Errors are InvalidArgument and carry OpenSSL's own reason.
#pragma once

#include <absl/status/statusor.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ztunnel/core/identity/certificate.h"

namespace mesh::identity {

template <auto Free>
struct OpensslDelete {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using X509Ptr = std::unique_ptr<X509, OpensslDelete<X509_free>>;
using EvpKeyPtr = std::unique_ptr<EVP_PKEY, OpensslDelete<EVP_PKEY_free>>;
using BioPtr = std::unique_ptr<BIO, OpensslDelete<BIO_free_all>>;

// "what: <OpenSSL's reason>"; empties the thread's error queue.
absl::Status OpensslError(std::string_view what);

// Every CERTIFICATE block, in order; text between blocks is ignored, as in bundles. At least one,
// and at most 1000.
absl::StatusOr<std::vector<X509Ptr>> ParseCertificates(std::string_view pem);
// An unencrypted private key.
absl::StatusOr<EvpKeyPtr> ParsePrivateKey(std::string_view pem);

struct Validity {
  absl::Time not_before;
  absl::Time not_after;
};
absl::StatusOr<Validity> ValidityOf(const X509& certificate);
absl::StatusOr<CertificateInfo> Describe(const X509& certificate);
// The URI names of the subject alternative name extension.
std::vector<std::string> UriNames(const X509& certificate);

}  // namespace mesh::identity
