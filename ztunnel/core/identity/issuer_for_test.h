// An issuer of certificates as they should not be, for tests: any names, any times, any usage, and
// revocation lists.
#pragma once

#include <absl/time/clock.h>

#include <string>
#include <vector>

#include "ztunnel/core/identity/pem.h"

namespace mesh::identity {

class IssuerForTest {
 public:
  IssuerForTest();  // a root of its own; all have the same name
  IssuerForTest(const std::string& certificate_pem, const std::string& key_pem);
  IssuerForTest Intermediate();

  struct Leaf {
    std::vector<std::string> names;  // "URI:spiffe://...", "DNS:a.b"; empty: no such extension
    absl::Time not_before = absl::Now() - absl::Hours(1);
    absl::Time not_after = absl::Now() + absl::Hours(1);
    const char* usage = "serverAuth,clientAuth";
  };
  X509Ptr Issue(EVP_PKEY* key, const Leaf& leaf);
  // Takes back `revoked`. PEM.
  std::string Crl(const std::vector<X509*>& revoked, absl::Time next_update) const;

  X509* certificate() const { return certificate_.get(); }
  std::string pem() const;

  // What a pod of `identity` has: a certificate of ours, valid, under `root`'s certificate.
  CertificateRef Certificate(const Identity& identity, const IssuerForTest& root);
  CertificateRef Certificate(const Identity& identity) { return Certificate(identity, *this); }
  // The same, but what its peers get to see in a handshake is `leaf`.
  CertificateRef Presenting(const Identity& identity, const Leaf& leaf);

 private:
  X509Ptr Make(EVP_PKEY* key, const char* name, absl::Time from, absl::Time to);

  EvpKeyPtr key_;
  X509Ptr certificate_;  // null while it is being made
};

std::string PemOf(const X509& certificate);

}  // namespace mesh::identity
